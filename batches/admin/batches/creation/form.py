"""The form for a new batch."""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from django import forms

from batches.actions.option_checks import NoPrice, check_escalation, check_price
from batches.actions.options import (
    MAX_GROUPED_ROWS,
    MAX_PILOT_ROWS,
    RUN_OPTIONS,
    BatchOptions,
    Pilot,
)
from batches.admin.batches.creation.fields import (
    ProviderChoice,
    choice,
    endpoint_choices,
    models_by_provider,
    number,
    switch,
)
from batches.admin.batches.creation.input_form import USUAL_COLUMN, InputForm
from batches.admin.batches.creation.template_fields import CHOSEN, PARTS, PartRefused
from batches.admin.widgets import JsonText, Number, SelectInput, Text, TextArea
from batches.conf import conf
from batches.engine.endpoints import CHAT, rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import (
    asks_for_schema,
    check_body,
    check_prompt_free,
    check_schemas,
    prompt_body,
    with_response_schema,
    with_system_prompt,
)
from batches.engine.structured.schema_bill import CHECKED_BYTES
from batches.inputs.prompt_files import InputOptions, check_model
from batches.inputs.prompts import LineError
from batches.inputs.tables import missing_columns_text
from batches.limits.escalation import MAX_STEPS, Escalation, escalations_in
from batches.limits.rules import EXAMPLE, Rules, rules_in
from batches.models.bounds import MAX_NAME_CHARS
from batches.providers.routing import NoProvider, check_allowed
from batches.users import User

# Further errors are left out: a user fixes a few at a time.
SHOWN_ERRORS = 20
MADE_ANOTHER = "This form already started a batch. Press again to start another with these values."
NO_MODEL = "Name a model: lines of text and rows of a table have none of their own."
NO_TEXT = "A text alone is not a request to {}. Give each request as a JSON object (JSONL)."
TWICE = "is given here and in its own field. Remove one of them."

# The fields for errors of the default fields of a batch, by the place of the error.
FIELDS = {name: name for name in ("schema", "system", "format", "escalate")}
FIELDS["body.model"] = "model"
# Of the errors of these fields, which all lines may have, the first is shown.
ONCE = ("model", "column")


class BatchForm(InputForm):
    """The prompts of a batch, its model, its answer schema and its run options."""

    # Identifies this form, so that pressing its button twice creates only one batch.
    once = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput())
    system = forms.CharField(
        label="System prompt",
        required=False,
        strip=False,
        widget=TextArea(rows=3, placeholder="You are a helpful assistant."),
        help_text="Sent before each prompt that has no system prompt of its own.",
    )

    provider = ProviderChoice()
    model = forms.CharField(
        required=False,
        widget=Text(autocomplete="off"),
        help_text="Leave empty if every prompt of a JSONL file names its own model.",
    )
    endpoint = forms.ChoiceField(choices=endpoint_choices, widget=SelectInput())
    parameters = JsonText(
        required=False,
        widget=TextArea(rows=3, placeholder='{"temperature": 0.2, "max_completion_tokens": 500}'),
        help_text="Default request fields, as JSON; a row's own fields win.",
    )

    schema = JsonText(
        label="JSON Schema of the answers",
        required=False,
        widget=TextArea(rows=5, placeholder='{"type": "object", "properties": {...}}'),
        help_text="The schema is sent with each request, and answers are validated against it.",
    )
    extract_json = switch("extract_json")
    repair_json = switch("repair_json")
    max_repair_attempts = number("max_repair_attempts")
    escalate = forms.CharField(
        label="Stronger models",
        required=False,
        max_length=2000,
        widget=TextArea(rows=2, placeholder="some-model\nanother-model:refusal,truncated"),
        help_text="One model in each line. A prompt whose answer fails is asked of the first one, "
        "then of the next. Kinds of failures may follow a colon; without them, the answer may be "
        "refused, cut off, not JSON, or not fit its schema.",
    )
    strict_schemas = switch("strict_schemas")

    batch_size = number("batch_size")
    parallelism = number("parallelism")
    schedule = choice("schedule")
    order = choice("order")
    reuse = choice("reuse")
    priority = number("priority")
    max_attempts = number("max_attempts")
    timeout_s = number("timeout_s", forms.FloatField)
    completion_hours = forms.IntegerField(
        label="Hours until it expires",
        required=False,
        min_value=1,
        max_value=720,
        widget=Number(),
        help_text="Leave empty for a batch that does not expire.",
    )
    max_cost = number("max_cost", forms.FloatField)
    max_tokens_total = number("max_tokens_total")
    pilot = forms.IntegerField(
        label="Pilot (prompts)",
        required=False,
        min_value=1,
        max_value=MAX_PILOT_ROWS,
        widget=Number(),
        help_text="Prompts that run first, spread over the batch. Then the batch waits with a "
        "report until you go on. Leave empty to run all prompts at once.",
    )
    pilot_by = forms.CharField(
        label="Pilot by column",
        required=False,
        max_length=1000,
        widget=Text(),
        help_text="With a template: a column of the table. The pilot has rows with each of its "
        "values, in about their proportions.",
    )
    stop_when = forms.CharField(
        label="Pause when broken",
        required=False,
        max_length=200,
        widget=Text(placeholder=EXAMPLE, autocomplete="off"),
        help_text="Rules for the share of failed prompts and the dollars of a prompt. The batch "
        "pauses when one is broken.",
    )
    name = forms.CharField(
        required=False,
        max_length=MAX_NAME_CHARS,
        widget=Text(),
        help_text="Leave empty for the name of the file.",
    )

    SECTIONS = (
        ("Prompts", ("prompts", "file", "format", "column", "system")),
        ("Template", (CHOSEN, *PARTS)),
        ("Model", ("provider", "model", "endpoint", "parameters")),
        (
            "Answers",
            (
                *("schema", "extract_json", "repair_json", "max_repair_attempts", "escalate"),
                "strict_schemas",
            ),
        ),
        (
            "Options",
            (
                *("batch_size", "parallelism", "schedule", "order", "reuse", "priority"),
                *("max_attempts", "timeout_s", "completion_hours", "max_cost", "max_tokens_total"),
                *("pilot", "pilot_by", "stop_when", "name"),
            ),
        ),
    )
    # Collapsed sections: the default values suit most batches.
    FOLDED = ("Template", "Answers", "Options")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.nonce: str = self.data.get("once") or secrets.token_urlsafe()
        providers = cast(ProviderChoice, self.fields["provider"])
        self.models = models_by_provider(providers.queryset or ())
        if "provider" not in self.initial:
            self.initial["provider"] = providers.choose()
        if self.initial["provider"]:
            providers.empty_label = None
        self.fields["model"].widget.attrs["list"] = f"models-{self['provider'].value()}"

    def refuse_repetition(self) -> None:
        """Report that this form already created a batch; let the next press create another."""
        self.nonce = secrets.token_urlsafe()
        self.add_error(None, MADE_ANOTHER)

    def sections(self) -> list[dict[str, Any]]:
        """Return the fields grouped by section.

        A section is open if something was set in it, or is wrong in it.
        """
        self.offer_columns()
        noteworthy = {*self.errors, *filter(self._is_set, self.fields)}
        return [
            {
                "title": title,
                "fields": [self[name] for name in names],
                "folded": title in self.FOLDED and noteworthy.isdisjoint(names),
                "foldable": title in self.FOLDED,
            }
            for title, names in self.SECTIONS
        ]

    def _is_set(self, name: str) -> bool:
        """Return True if the field shows something other than its default."""
        field = self.fields[name]
        return field.has_changed(field.initial, self[name].value())

    def chosen_endpoint(self) -> str:
        """Return the endpoint of the form, also if other fields are wrong."""
        return self.cleaned_data.get("endpoint") or CHAT

    def clean_stop_when(self) -> Rules | None:
        text = self.cleaned_data["stop_when"]
        try:
            return rules_in(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_escalate(self) -> list[Escalation]:
        try:
            steps = escalations_in(self.cleaned_data["escalate"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        if len(steps) > MAX_STEPS:
            raise forms.ValidationError(f"Give up to {MAX_STEPS} models, one in each line.")
        return steps

    def clean_parameters(self) -> dict[str, Any]:
        given = self.cleaned_data["parameters"] or {}
        if not isinstance(given, dict):
            raise forms.ValidationError("Must be a JSON object.")
        return given

    def clean(self) -> dict[str, Any]:
        self.find_input()
        self.check_template(input_is_text=self.is_given() and self.table_format() is None)
        self._check_endpoint()
        self._check_pilot()
        if not self.errors:
            self._check_defaults()
        if not self.errors:
            self._check_price()
        return self.cleaned_data

    def _check_pilot(self) -> None:
        by, rows = self.cleaned_data.get("pilot_by"), self.cleaned_data.get("pilot")
        if not by or {"pilot", "pilot_by"} & self.errors.keys():
            return
        names = self.columns()
        if rows is None:
            self.add_error("pilot", "Give the number of prompts in the pilot.")
        elif rows > MAX_GROUPED_ROWS:
            self.add_error("pilot", f"With a column, at most {MAX_GROUPED_ROWS:,}.")
        elif self.given_template is None:
            self.add_error("pilot_by", "Only rows of a table have columns: give a template.")
        elif names and by not in names:
            self.add_error("pilot_by", missing_columns_text([by], names))

    def _check_endpoint(self) -> None:
        provider, endpoint = (self.cleaned_data.get(name) for name in ("provider", "endpoint"))
        if provider and endpoint:
            try:
                check_allowed(provider, endpoint)
            except NoProvider as error:
                self.add_error("endpoint", str(error))

    def _check_defaults(self) -> None:
        try:
            self._check_given_once()
            defaults = self.defaults()
            if self.given_template:
                self.given_template.check_against(self.cleaned_data["endpoint"], defaults)
            check_schemas(check_body(self._sample_of(defaults), self.cleaned_data["endpoint"]))
            check_escalation(self.cleaned_data["provider"], self.options())
        except PartRefused as refused:
            self.add_error(refused.field, refused.message)
        except PromptRejected as error:
            self.refuse(error)

    def _check_given_once(self) -> None:
        """Raise PromptRejected for a field of the parameters that another field replaces."""
        data, endpoint = self.cleaned_data, self.cleaned_data["endpoint"]
        given = data["parameters"]
        if data["model"] and given.get("model", data["model"]) != data["model"]:
            raise PromptRejected(f"'model' {TWICE}", param="body.parameters")
        if data["schema"] is not None and asks_for_schema(given, endpoint):
            raise PromptRejected(f"The schema of the answers {TWICE}", param="body.parameters")
        if not self._has_requests():
            check_prompt_free(given, endpoint)

    def _has_requests(self) -> bool:
        """Return True if the input has requests, and not texts that become requests."""
        return self.input_format() == "jsonl" and not self.given_template

    def _sample_of(self, defaults: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a valid prompt, so that any error comes from the form."""
        endpoint, models = self.cleaned_data["endpoint"], self.cleaned_data["provider"].model_names
        check_model(defaults.get("model"), frozenset(models))
        if self._has_requests():
            asked = prompt_body("any", endpoint) if rules_of(endpoint).asked_in else {}
            return {"model": "any", **asked, **defaults}
        if rules_of(endpoint).asked_in is None:
            raise PromptRejected(NO_TEXT.format(endpoint), param="format")
        return {**prompt_body("any", endpoint), **defaults}

    def refuse(self, error: PromptRejected) -> None:
        """Add the error of a default field to the form's field that it comes from."""
        if self.cleaned_data.get("model", "") == "" and error.param == "body.model":
            self.add_error("model", NO_MODEL)
        else:
            name = error.param.partition("[")[0]
            self.add_error(FIELDS.get(name, "parameters"), error.message)

    def _check_price(self) -> None:
        try:
            check_price(self.cleaned_data["provider"], self.options())
        except NoPrice as error:
            self.add_error(error.param, str(error))

    def defaults(self) -> dict[str, Any]:
        """Return the default fields of every request. Raises PromptRejected for a bad one."""
        data, endpoint = self.cleaned_data, self.cleaned_data["endpoint"]
        body = {**data["parameters"], **({"model": data["model"]} if data["model"] else {})}
        if data["system"].strip():
            body = with_system_prompt(body, data["system"], endpoint=endpoint)
        if data["schema"] is None:
            return body
        try:
            return with_response_schema(body, endpoint=endpoint, schema=data["schema"])
        except PromptRejected as error:
            raise PromptRejected(error.message, param="schema") from error

    def options(self) -> BatchOptions:
        """Return the options of the batch."""
        data = self.cleaned_data
        hours = data["completion_hours"]
        return BatchOptions(
            **{name: data[name] for name in RUN_OPTIONS},
            name=data["name"],
            endpoint=data["endpoint"],
            defaults=self.defaults(),
            completion_window=timedelta(hours=hours) if hours else None,
            pilot=Pilot(rows=data["pilot"], by=data["pilot_by"] or None) if data["pilot"] else None,
            stop_when=data["stop_when"],
            escalate=data["escalate"],
        )

    def reading(self) -> InputOptions:
        """Return the options for reading the pasted or uploaded prompts."""
        data = self.cleaned_data
        return InputOptions(
            endpoint=data["endpoint"],
            defaults=self.defaults(),
            max_line_bytes=conf().MAX_LINE_BYTES,
            format=self.input_format(),
            column=data["column"] or USUAL_COLUMN,
            template=self.given_template.row_template if self.given_template else None,
            models=frozenset(data["provider"].model_names),
            strict_schemas=data["strict_schemas"],
            max_schema_bytes=conf().MAX_SCHEMA_BYTES_PER_BATCH,
            # The browser is waiting, so check only the first schemas; a worker checks all of them.
            checked_schema_bytes=CHECKED_BYTES,
        )

    def refuse_lines(self, errors: Iterable[LineError]) -> None:
        """Add the errors of input lines to the fields that they come from."""
        found: dict[str, list[str]] = defaultdict(list)
        for error in errors:
            found[self._field_of(error)].append(str(error))
        for field, texts in found.items():
            shown = texts[:1] if field in ONCE else texts[:SHOWN_ERRORS]
            self.add_error(field, [*shown, *(["… and more."] if len(texts) > len(shown) else [])])

    def _field_of(self, error: LineError) -> str:
        """Return the field for an error: the one that is to be filled, or the one of the lines."""
        if error.code == "missing_required_parameter" and error.param == "body.model":
            return "model"
        if self.given_template and (field := self.given_template.field_of(error)):
            return field
        if error.code == "missing_column":
            return "column"
        return "prompts" if self.pasted else "file"
