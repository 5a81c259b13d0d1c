"""The form for a new batch."""

import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile

from batches.actions.batches import NoPrice, check_price
from batches.actions.options import RUN_OPTIONS, BatchOptions
from batches.admin.widgets import FileInput, JsonText, Number, SelectInput, Text, TextArea, Toggle
from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import check_body, check_schemas, prompt_body, with_response_schema
from batches.engine.structured.schema_bill import CHECKED_BYTES
from batches.files.files import unexpired
from batches.inputs.prompt_files import InputOptions, LineError, format_of
from batches.models import File, Provider
from batches.models.bounds import MAX_NAME_CHARS
from batches.providers.routing import NoProvider, check_allowed, known_endpoints

# Further errors are left out: a user fixes a few at a time.
SHOWN_ERRORS = 20
# The purpose of files that were uploaded with the form; they are kept unchanged for an hour.
KEPT = "user_data"
GONE = "The uploaded file was kept for an hour and has expired. Choose it again."
NOT_BOTH = "Paste prompts or choose a file, not both."
NOT_BOTH_KEPT = "There are both pasted prompts and an uploaded file. Remove one of them."
MADE_ANOTHER = "This form already started a batch. Press again to start another with these values."
NOTHING_GIVEN = "Paste prompts or choose a file."

FORMATS = (
    ("", "Detect from the file name, else text"),
    ("text", "Text: one prompt per line"),
    ("jsonl", "JSONL: one object per line, in the format of the Batch API or shorter"),
    ("csv", "CSV: a header, then one prompt per row"),
    ("tsv", "TSV: like CSV, with tabs between columns"),
)


def endpoint_choices() -> list[tuple[str, str]]:
    """Return the endpoints of every provider, then the paths that staff allow on some."""
    return [(path, path) for path in known_endpoints()]


def number(name: str, field: type[forms.IntegerField] = forms.IntegerField) -> forms.Field:
    """Return the field of a run option that is a number."""
    option = RUN_OPTIONS[name]
    bounds: dict[str, Any] = {"min_value": option.least, "max_value": option.most}
    if option.above is not None:
        bounds["validators"] = [above_validator(option.above)]
    return field(
        label=option.label,
        help_text=option.help,
        initial=option.default,
        required=option.default is not None,
        widget=Number(step="any" if field is forms.FloatField else "1"),
        **bounds,
    )


def switch(name: str) -> forms.BooleanField:
    """Return the field of a run option that is on or off."""
    option = RUN_OPTIONS[name]
    return forms.BooleanField(
        label=option.label,
        help_text=option.help,
        initial=option.default,
        required=False,
        widget=Toggle(),
    )


def above_validator(bound: float) -> Callable[[float], None]:
    """Return a validator that refuses this number and smaller ones."""

    def check(value: float) -> None:
        if value <= bound:
            raise forms.ValidationError(f"Ensure this value is greater than {bound:g}.")

    return check


class BatchForm(forms.Form):
    """The prompts of a batch, its model, its answer schema and its run options."""

    prompts = forms.CharField(
        label="Paste prompts",
        required=False,
        strip=False,
        widget=TextArea(rows=8, placeholder="One prompt per line"),
    )
    file = forms.FileField(
        label="Or choose a file",
        required=False,
        widget=FileInput(accept=".jsonl,.ndjson,.json,.csv,.tsv,.txt,.gz"),
        help_text="JSONL, CSV, TSV or text, in UTF-8 or as Excel writes it; gzip is unpacked.",
    )
    # The ID of a file uploaded earlier with this form, so that the user need not choose it again.
    stored = forms.CharField(required=False, widget=forms.HiddenInput())
    # Identifies this form, so that pressing its button twice creates only one batch.
    once = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput())
    drop_stored = forms.BooleanField(
        label="Remove this file", required=False, widget=Toggle(), initial=False
    )
    format = forms.ChoiceField(choices=FORMATS, required=False, widget=SelectInput())
    column = forms.CharField(
        label="CSV column",
        initial="prompt",
        required=False,
        widget=Text(),
        help_text="The column with the prompts. A custom_id column, if present, is used as the ID.",
    )

    provider = forms.ModelChoiceField(
        Provider.objects.order_by("-is_default", "name"), widget=SelectInput(), empty_label=None
    )
    model = forms.CharField(
        required=False,
        widget=Text(list="models", autocomplete="off"),
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
    strict_schemas = switch("strict_schemas")

    batch_size = number("batch_size")
    parallelism = number("parallelism")
    schedule = forms.ChoiceField(
        choices=[(name, name) for name in RUN_OPTIONS["schedule"].choices],
        help_text=RUN_OPTIONS["schedule"].help,
        widget=SelectInput(),
    )
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
    name = forms.CharField(
        required=False,
        max_length=MAX_NAME_CHARS,
        widget=Text(),
        help_text="Leave empty for the name of the file.",
    )

    SECTIONS = (
        ("Prompts", ("prompts", "file", "format", "column")),
        ("Model", ("provider", "model", "endpoint", "parameters")),
        (
            "Answers",
            ("schema", "extract_json", "repair_json", "max_repair_attempts", "strict_schemas"),
        ),
        (
            "Options",
            (
                *("batch_size", "parallelism", "schedule", "priority", "max_attempts"),
                *("timeout_s", "completion_hours", "max_cost", "max_tokens_total", "name"),
            ),
        ),
    )
    # Collapsed sections: the default values suit most batches.
    FOLDED = ("Answers", "Options")

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self.upload: UploadedFile[bytes] | None = None
        self.kept: File | None = None
        self.nonce: str = self.data.get("once") or secrets.token_urlsafe()

    def refuse_repetition(self) -> None:
        """Report that this form already created a batch; let the next press create another."""
        self.nonce = secrets.token_urlsafe()
        self.add_error(None, MADE_ANOTHER)

    def sections(self) -> list[dict[str, Any]]:
        """Return the fields grouped by section; a section with an error is open."""
        return [
            {
                "title": title,
                "fields": [self[name] for name in names],
                "folded": title in self.FOLDED and not any(name in self.errors for name in names),
                "foldable": title in self.FOLDED,
            }
            for title, names in self.SECTIONS
        ]

    def clean_parameters(self) -> dict[str, Any]:
        given = self.cleaned_data["parameters"] or {}
        if not isinstance(given, dict):
            raise forms.ValidationError("Must be a JSON object.")
        return given

    def clean_file(self) -> "UploadedFile[bytes] | None":
        file: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if file is not None and (file.size or 0) > settings.MAX_FILE_BYTES:
            raise forms.ValidationError(
                f"The file is larger than {settings.MAX_FILE_BYTES} bytes (MAX_FILE_BYTES)."
            )
        self.upload = file
        return file

    def clean(self) -> dict[str, Any]:
        self._find_kept()
        self._check_source()
        self._check_endpoint()
        if not self.errors:
            self._check_defaults()
        if not self.errors:
            self._check_price()
        return self.cleaned_data

    def _find_kept(self) -> None:
        data = self.cleaned_data
        name = data.get("stored")
        if not name or self.upload or data.get("drop_stored"):
            return
        mine = unexpired().filter(owner=self._user, purpose=KEPT)
        self.kept = mine.filter(public_id=name).first()
        if self.kept is None:
            self.add_error("file", GONE)

    def _check_source(self) -> None:
        """Require either pasted prompts or a file, not both."""
        file = self.upload or self.kept
        if self.pasted and file:
            self.add_error("file", NOT_BOTH_KEPT if self.kept else NOT_BOTH)
        elif not self.pasted and not file and "file" not in self.errors:
            self.add_error("prompts", NOTHING_GIVEN)

    def _check_endpoint(self) -> None:
        provider, endpoint = (self.cleaned_data.get(name) for name in ("provider", "endpoint"))
        if provider and endpoint:
            try:
                check_allowed(provider, endpoint)
            except NoProvider as error:
                self.add_error("endpoint", str(error))

    @property
    def pasted(self) -> str:
        """Return the pasted prompts, or an empty string if they are blank."""
        text: str = self.cleaned_data.get("prompts", "")
        return text if text.strip() else ""

    def _check_defaults(self) -> None:
        try:
            defaults = self.defaults()
        except PromptRejected as error:
            self.add_error("schema", error.message)
            return
        endpoint = self.cleaned_data["endpoint"]
        try:
            # Check with a valid prompt, so that any error comes from the defaults.
            asked = prompt_body("any", endpoint) if rules_of(endpoint).asked_in else {}
            check_schemas(check_body({"model": "any", **asked, **defaults}, endpoint))
        except PromptRejected as error:
            self.add_error("parameters", error.message)

    def _check_price(self) -> None:
        try:
            check_price(self.cleaned_data["provider"], self.options())
        except NoPrice as error:
            self.add_error("max_cost", str(error))

    def defaults(self) -> dict[str, Any]:
        """Return the default fields of every request. Raises PromptRejected for a bad schema."""
        data = self.cleaned_data
        body = {**data["parameters"], **({"model": data["model"]} if data["model"] else {})}
        if data["schema"] is None:
            return body
        return with_response_schema(body, endpoint=data["endpoint"], schema=data["schema"])

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
        )

    def reading(self) -> InputOptions:
        """Return the options for reading the pasted or uploaded prompts."""
        data = self.cleaned_data
        return InputOptions(
            endpoint=data["endpoint"],
            defaults=self.defaults(),
            max_line_bytes=settings.MAX_LINE_BYTES,
            format=data["format"] or format_of(self.filename, otherwise="text"),
            column=data["column"] or "prompt",
            models=frozenset(data["provider"].model_names),
            strict_schemas=data["strict_schemas"],
            max_schema_bytes=settings.MAX_SCHEMA_BYTES_PER_BATCH,
            # The browser is waiting, so check only the first schemas; a worker checks all of them.
            checked_schema_bytes=CHECKED_BYTES,
        )

    @property
    def filename(self) -> str:
        """Return the name of the file with the prompts; empty if they were pasted."""
        if self.upload:
            return self.upload.name or ""
        return self.kept.filename if self.kept else ""

    def refuse_lines(self, errors: Iterable[LineError]) -> None:
        """Add the errors of input lines to the field that the lines came from."""
        found = list(errors)
        shown = [str(error) for error in found[:SHOWN_ERRORS]]
        if len(found) > SHOWN_ERRORS:
            shown.append("… and more.")
        self.add_error("prompts" if self.pasted else "file", shown)
