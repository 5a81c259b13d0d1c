"""Create a batch of the rows of a queryset, whose answers are written into the rows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, cast

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import router
from django.db.models import Model, QuerySet
from pydantic import BaseModel

from batches.actions.batches import Origin, create_batch
from batches.actions.options import BatchOptions
from batches.conf import conf
from batches.engine.errors import PromptRejected
from batches.engine.prepare import with_response_schema
from batches.engine.structured.asked import answer_schema
from batches.errors import NotPossible
from batches.inputs.prompt_files import InputOptions
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import (
    TemplateMessage,
    TemplateRefused,
    file_messages,
    stored_messages,
)
from batches.intake.tally import InputRefused
from batches.models import Batch, Enrichment, Provider, Result
from batches.models.answer import IF_CHANGED
from batches.providers.routing import NoProvider, choose_provider
from batches.rows.row_items import RowItems
from batches.rows.row_pages import PAGE_ROWS, check_queryset
from batches.writeback.row_prompts import RowPrompts, read_lookups, row_template
from batches.writeback.targets import Into, target_for

SHOWN_ERRORS = 5

Schema = type[BaseModel] | Mapping[str, Any]
Messages = str | Sequence[Mapping[str, str]]


class RowsRefused(NotPossible):
    """Rows, a template, or options were refused; the message has the places. Nothing is stored."""


@dataclass(frozen=True, slots=True)
class RowsPlan:
    """A checked request about the rows of a queryset, without the target of the answers."""

    queryset: "QuerySet[Any, Any]"
    messages: Sequence[TemplateMessage]
    template: RowTemplate
    lookups: list[str]
    provider: Provider
    options: BatchOptions

    def items(self, *, fields: str | None = None, page_rows: int = PAGE_ROWS) -> RowItems:
        """Return the prompts of the rows; with `fields`, only of the rows that have changed."""
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
        return RowItems(self.queryset, prompts, reading, fields=fields, page_rows=page_rows)


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
    already. Other options are the ones of any batch, such as `pilot`, `reuse`, `max_cost`.
    """
    _check_database(queryset.model)
    if if_changed not in IF_CHANGED:
        raise NotPossible(f"if_changed is {if_changed!r}, and not 'skip' or 'write'")
    plan = plan_for(
        queryset,
        template=template,
        schema=schema,
        model=model,
        provider=provider,
        options=options,
    )
    asked = answer_schema(plan.options.defaults, plan.options.endpoint)
    target = target_for(queryset.model, into, _properties(asked.schema if asked else None))
    items = iter(plan.items(fields=target.name if only_changed else None))
    first = next(items, None)
    if first is None:
        return None
    messages = [message.model_dump() for message in plan.messages]
    enrichment = Enrichment(
        label=queryset.model._meta.label,
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
    schema: Schema | None,
    model: str | None,
    provider: Provider | str | None,
    options: Mapping[str, Any],
) -> RowsPlan:
    """Check what is asked about rows. Raise NotPossible or pydantic's ValidationError."""
    try:
        chosen = _options(options, schema, model)
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
    return RowsPlan(queryset, messages, compiled, lookups, provider, chosen)


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
    return stored_messages([dict(message) for message in template])


def _properties(schema: Any) -> Mapping[str, Any] | None:
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) and found else None


def _check_database(model: type[Model]) -> None:
    """Raise NotPossible if rows and results are not in one database: no transaction has both."""
    rows, results = router.db_for_write(model), router.db_for_write(Result)
    if rows != results:
        raise NotPossible(
            f"the rows of {model._meta.label} are in the database {rows!r} and the results of "
            f"batches in {results!r}, so that they cannot be stored together. Route both to one."
        )


def _digest_of(messages: Sequence[Mapping[str, str]]) -> str:
    text = json.dumps(messages, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _text_of(refused: InputRefused) -> str:
    shown = [error.message for error in refused.errors[:SHOWN_ERRORS]]
    more = len(refused.errors) - SHOWN_ERRORS
    return "\n".join([*shown, f"and {more} more"] if more > 0 else shown)
