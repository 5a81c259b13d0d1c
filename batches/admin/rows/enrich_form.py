"""The form that asks a model about rows: the template, the fields for the answers, the model."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django import forms
from django.db import models

from batches.actions.options import MAX_PILOT_ROWS, RUN_OPTIONS
from batches.admin.rows.answer_schemas import is_free_text, schema_of
from batches.admin.rows.template_reads import TemplateRead, reads_in
from batches.inputs.row_templates.sources import TemplateRefused, file_messages
from batches.models import Provider
from batches.models.answer import SKIP, WRITE


class EnrichForm(forms.Form):
    """The choices of a user for rows of a model; `fields` are the names that may be written."""

    template = forms.CharField(
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 80}),
        help_text="The prompt for a row: {{ row.title }} stands for a field, {{ row.author.name }} "
        "for a field of a related row.",
    )
    fields_to_write = forms.MultipleChoiceField(
        label="Fields for the answer",
        help_text="A text field alone gets the whole answer. For several fields, or one that is "
        "not a free text, the model is asked for JSON with a property for each.",
    )
    model = forms.CharField(max_length=255)
    provider = forms.ModelChoiceField(
        Provider.objects.order_by("name"),
        required=False,
        empty_label="by the model",
        help_text="Where the model is asked.",
    )
    pilot = forms.IntegerField(
        label="Rows of a pilot",
        required=False,
        min_value=1,
        max_value=MAX_PILOT_ROWS,
        help_text="These rows are run first; then the batch waits until it is resumed.",
    )
    max_cost = forms.FloatField(
        label=RUN_OPTIONS["max_cost"].label,
        required=False,
        min_value=RUN_OPTIONS["max_cost"].least,
        help_text=RUN_OPTIONS["max_cost"].help,
    )
    only_changed = forms.BooleanField(
        label="Only changed rows",
        required=False,
        help_text="Leave out rows that have the answer to the same prompt already.",
    )
    if_changed = forms.ChoiceField(
        label="If a row changes meanwhile",
        choices=[(SKIP, "leave it as it is"), (WRITE, "write the answer anyway")],
    )

    def __init__(
        self,
        of: type[models.Model],
        fields: Sequence[str],
        data: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(data)
        self._model = of
        # What a template that is accepted reads.
        self.reads: list[TemplateRead] = []
        names: Any = self.fields["fields_to_write"]
        names.choices = [(name, _field(of, name).verbose_name) for name in fields]

    def clean(self) -> dict[str, Any]:
        """Refuse a text that is no template, beside the preview, which follows what is typed."""
        given = super().clean() or self.cleaned_data
        if "template" in given:
            try:
                self.reads = _reads_in(self._model, given["template"])
            except TemplateRefused as refused:
                raise forms.ValidationError(refused.message) from refused
        return given

    def asked(self) -> dict[str, Any]:
        """Return the arguments of `preview`."""
        given = self.cleaned_data
        _, schema = self._target()
        names = ("template", "model", "provider")
        return {**{name: given[name] for name in names}, "schema": schema}

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `enrich`."""
        given = self.cleaned_data
        options: dict[str, Any] = {
            "max_cost": given["max_cost"],
            "pilot": given["pilot"] and {"rows": given["pilot"]},
        }
        return {
            **self.asked(),
            **{name: value for name, value in options.items() if value is not None},
            "into": self._target()[0],
            "only_changed": given["only_changed"],
            "if_changed": given["if_changed"],
        }

    def _target(self) -> tuple[str | dict[str, str], dict[str, Any] | None]:
        """Return where the answer goes, and the schema that it must fit."""
        fields = [_field(self._model, name) for name in self.cleaned_data["fields_to_write"]]
        if len(fields) == 1 and is_free_text(fields[0]):
            return fields[0].name, None
        properties = {field.name: schema_of(field) for field in fields}
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        return {name: name for name in properties}, schema


def writable_fields(of: type[models.Model], names: Collection[str]) -> list[str]:
    """Return the names of fields that an answer can be written to, in the order of the model."""
    chosen = (field for field in of._meta.concrete_fields if field.name in names)
    return [field.name for field in chosen if schema_of(field) is not None]


def _field(of: type[models.Model], name: str) -> Any:
    return of._meta.get_field(name)


def _reads_in(of: type[models.Model], template: str) -> list[TemplateRead]:
    """Return what a template reads. Raise TemplateRefused, with the line of the text."""
    file = file_messages(template)
    try:
        return reads_in(of, file.messages)
    except TemplateRefused as refused:
        line = file.line_of(refused)
        raise TemplateRefused(f"{refused.message}{(line and f' (line {line})') or ''}") from refused
