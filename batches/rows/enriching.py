"""Create a batch of the rows of a queryset, whose answers are written into the rows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import Error, router
from django.db.models import Model, QuerySet
from pydantic import BaseModel

from batches.actions.batches import Origin, create_batch
from batches.actions.options import BatchOptions
from batches.conf import conf
from batches.database import is_absent, transaction
from batches.engine.endpoints import CHAT, rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import with_response_schema
from batches.engine.structured.asked import answer_schema
from batches.errors import NotPossible
from batches.inputs.prompt_files import InputOptions
from batches.inputs.prompts import NewPrompt
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import (
    TemplateMessage,
    TemplateRefused,
    check_messages,
    file_messages,
)
from batches.intake.tally import InputRefused
from batches.models import Batch, Enrichment, Provider, Result
from batches.models.answer import IF_CHANGED
from batches.providers.routing import NoProvider, choose_provider
from batches.rows.row_items import RowItems
from batches.rows.row_pages import PAGE_ROWS, check_queryset, queryset_of
from batches.writeback.row_prompts import RowPrompts, read_lookups, row_template
from batches.writeback.targets import Into, Target, target_for
from batches.writeback.writing import locking, pk_in

SHOWN_ERRORS = 5

Schema = type[BaseModel] | Mapping[str, Any]
Messages = str | Sequence[Mapping[str, str]]


class RowsRefused(NotPossible):
    """Rows, a template, or options were refused; the message has the places. Nothing is stored."""


@dataclass(frozen=True, slots=True)
class RowsPlan:
    """A checked request about the rows of a queryset; `target` is None for a mere preview."""

    queryset: "QuerySet[Any, Any]"
    messages: Sequence[TemplateMessage]
    template: RowTemplate
    lookups: list[str]
    provider: Provider
    options: BatchOptions
    target: Target | None
    only_changed: bool

    @property
    def target_of_answers(self) -> Target:
        """Return the target of a plan that has one."""
        if self.target is None:
            raise NotPossible("into is missing: name where the answers go")
        return self.target

    def items(self, *, page_rows: int = PAGE_ROWS) -> RowItems:
        """Return the prompts of the rows, or only of the rows that have changed."""
        options = self.options
        reading = InputOptions(
            endpoint=options.endpoint,
            defaults=options.defaults,
            max_line_bytes=conf().MAX_LINE_BYTES,
            models=frozenset(self.provider.model_names),
            strict_schemas=options.strict_schemas,
            max_schema_bytes=conf().MAX_SCHEMA_BYTES_PER_BATCH,
        )
        prompts = RowPrompts(self.queryset.model, self.template, self.lookups, options.endpoint)
        unless_in = self.target if self.only_changed else None
        return RowItems(self.queryset, prompts, reading, unless_in=unless_in, page_rows=page_rows)


def enrich(
    queryset: "QuerySet[Any, Any]",
    *,
    template: Messages,
    into: Into,
    schema: Schema | None = None,
    model: str | None = None,
    provider: Provider | str | None = None,
    owner: AbstractBaseUser | None = None,
    if_changed: Literal["skip", "write"] = "skip",
    only_changed: bool = False,
    **options: Any,
) -> Batch | None:
    """Ask a model about each row of a queryset, and write each answer into its row.

    Return the batch, which the workers run; None if there is no row to ask about. On an error,
    nothing is left behind: raise NotPossible, or pydantic's ValidationError for an option.

    `template` makes the prompt of a row: `{{ row.title }}`, `{{ row.author.name }}`. `into` is the
    name of a field for the whole answer; fields of the row with properties of the `schema`, or
    with "*" for the whole answer; or a function `save(row, outcome)` at the top of a module.

    A row is written in the transaction that stores the result of its prompt: both or neither. If
    the row makes another prompt at that time, it is left as it is, or with `if_changed="write"`
    written anyway. `Answer.objects.for_row(row)` has the record of each answer.

    With `only_changed`, rows are left out that have the answer to their prompt in these fields
    already, unless the fields are all empty. Other options are the ones of any batch, such as
    `pilot`, `reuse`, `max_cost`.
    """
    if if_changed not in IF_CHANGED:
        raise NotPossible(f"if_changed is {if_changed!r}, and not 'skip' or 'write'")
    if owner is not None and not (isinstance(owner, get_user_model()) and owner.pk):
        raise NotPossible(f"owner is {owner!r}: give a stored user, or leave it out")
    plan = plan_for(
        queryset,
        template=template,
        into=into,
        schema=schema,
        model=model,
        provider=provider,
        only_changed=only_changed,
        options=options,
    )
    target = plan.target_of_answers
    items = iter(plan.items())
    first = next(items, None)
    if first is None:
        return None
    rows_of = plan.queryset.model
    if isinstance(first, NewPrompt):
        _check_lock(rows_of, first.custom_id)
    messages = [message.model_dump() for message in plan.messages]
    enrichment = Enrichment(
        label=rows_of._meta.label,
        messages=messages,
        digest=_digest_of(messages),
        lookups=plan.lookups,
        if_changed=if_changed,
        **target.stored(),
    )
    try:
        return create_batch(
            plan.provider,
            chain([first], items),
            plan.options,
            origin=Origin(owner=cast("Any", owner)),
            enrichment=enrichment,
        )
    except InputRefused as refused:
        raise RowsRefused(_text_of(refused)) from refused
    except PromptRejected as refused:
        raise RowsRefused(refused.message) from refused


def plan_for(
    queryset: "QuerySet[Any, Any]",
    *,
    template: Messages,
    into: Into | None,
    schema: Schema | None,
    model: str | None,
    provider: Provider | str | None,
    only_changed: bool,
    options: Mapping[str, Any],
) -> RowsPlan:
    """Check what is asked about rows. Raise NotPossible or pydantic's ValidationError.

    `into` is None for a preview of any target.
    """
    queryset = queryset_of(queryset)
    _check_types(model=model, provider=provider, schema=schema)
    _check_database(queryset)
    if only_changed and into is None:
        raise NotPossible("only_changed is about the answers in the fields of `into`: name these")
    try:
        chosen = _options(options, schema, model)
        _check_endpoint(chosen.endpoint)
        messages = _messages(template)
        compiled = row_template(messages, max_chars=conf().MAX_LINE_BYTES)
        compiled.check_against(chosen.endpoint, chosen.defaults)
        lookups = read_lookups(queryset.model, messages)
        check_queryset(queryset, lookups)
        if not isinstance(provider, Provider):
            asked = chosen.defaults.get("model")
            provider = choose_provider(
                name=provider, model=asked, staff=True, endpoint=chosen.endpoint
            )
    except TemplateRefused as refused:
        line = f" (line {refused.line})" if refused.line else ""
        raise RowsRefused(f"{refused.message}{line}") from refused
    except PromptRejected as refused:
        raise RowsRefused(refused.message) from refused
    except NoProvider as error:
        raise NotPossible(str(error)) from error
    answer = answer_schema(chosen.defaults, chosen.endpoint)
    fields = _properties(answer.schema if answer else None)
    target = None if into is None else target_for(queryset.model, into, fields)
    return RowsPlan(
        queryset, messages, compiled, lookups, provider, chosen, target, bool(only_changed)
    )


def _check_types(*, model: Any, provider: Any, schema: Any) -> None:
    """Raise NotPossible for an argument of another type than the one that is wanted."""
    if not isinstance(model, str | None):
        raise NotPossible(f"model is {model!r}: give its name as a text")
    if not isinstance(provider, Provider | str | None):
        raise NotPossible(f"provider is {provider!r}: give a Provider or its name")
    if isinstance(provider, Provider) and provider.pk is None:
        raise NotPossible(f"the provider {provider} is not stored: save it first")
    is_model = isinstance(schema, type) and issubclass(schema, BaseModel)
    if not is_model and not isinstance(schema, Mapping | None):
        raise NotPossible(
            f"schema is {repr(schema)[:100]}: give a JSON Schema as a dict, or a pydantic model"
        )


def _check_endpoint(endpoint: str) -> None:
    rules = rules_of(endpoint)
    if not (rules.answers_in_text or rules.shows_body):
        raise NotPossible(
            f"the answers of {endpoint} are no text or JSON that could be written into a row: "
            f"use an endpoint such as {CHAT}"
        )


def _options(given: Mapping[str, Any], schema: Schema | None, model: str | None) -> BatchOptions:
    options = BatchOptions(**given)
    defaults = dict(options.defaults)
    if model is not None:
        defaults["model"] = model
    if schema is not None:
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            schema = {"name": schema.__name__, "schema": schema.model_json_schema()}
        defaults = with_response_schema(defaults, endpoint=options.endpoint, schema=schema)
    return options.model_copy(update={"defaults": defaults})


def _messages(template: Messages) -> Sequence[TemplateMessage]:
    if isinstance(template, str):
        return file_messages(template).messages
    try:
        messages = [TemplateMessage.model_validate(dict(message)) for message in template]
    except (TypeError, ValueError) as error:
        raise NotPossible(
            f"template is {repr(template)[:100]}: give a text, or a list of messages such as "
            '{"role": "user", "content": "Summarise: {{ row.body }}"}; the roles are system, user '
            "and assistant"
        ) from error
    check_messages(messages)
    return messages


def _properties(schema: Any) -> Mapping[str, Any] | None:
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) and found else None


def _check_database(queryset: "QuerySet[Any, Any]") -> None:
    """Raise NotPossible if rows and results are not in one database: no transaction has both."""
    label, results = queryset.model._meta.label, router.db_for_write(Result)
    rows = router.db_for_write(queryset.model)
    # A reader of the same rows may be named by a router; `using` names other rows.
    for name in (rows, getattr(queryset, "_db", None) or results):
        if name != results:
            raise NotPossible(
                f"the rows of {label} are in the database {name!r} and the results of batches in "
                f"{results!r}, so that they cannot be stored together. Route both to one."
            )


def _check_lock(model: type[Model], custom_id: str) -> None:
    """Raise NotPossible if rows cannot be locked, as they are before they are written."""
    rows = locking(model, skip_locked=True).filter(pk=pk_in(custom_id, model))
    try:
        with transaction.atomic():
            list(rows)
    except Error as error:
        if is_absent(error):
            raise
        raise NotPossible(
            f"the rows of {model._meta.label} cannot be locked, so that no answer can be written "
            f"safely: {error}. A view that groups or joins rows has none: ask about the rows of "
            "its table."
        ) from error


def _digest_of(messages: Sequence[Mapping[str, str]]) -> str:
    text = json.dumps(messages, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _text_of(refused: InputRefused) -> str:
    shown = [error.message for error in refused.errors[:SHOWN_ERRORS]]
    more = len(refused.errors) - SHOWN_ERRORS
    return "\n".join([*shown, f"and {more} more"] if more > 0 else shown)
