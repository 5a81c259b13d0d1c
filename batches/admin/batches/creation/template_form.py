"""The part of the form for a new batch that holds a template."""

from functools import partial
from typing import Any, cast

from django import forms
from django.http import QueryDict
from django.utils.choices import CallableChoiceIterator

from batches.actions.batches import TemplateSource
from batches.admin.batches.creation.template_fields import (
    CHOSEN,
    NAME,
    SYSTEM,
    USER,
    FormTemplate,
    PartRefused,
    kept_template,
    template_choices,
    template_of_texts,
    template_part,
    texts_of,
)
from batches.admin.widgets import SelectInput, Text
from batches.models import Template
from batches.models.bounds import MAX_NAME_CHARS
from batches.users import User

NOT_A_TABLE = (
    "A template makes prompts of the rows of a table, but the input is text. Choose a CSV, TSV or "
    "JSONL file, or the format of the input."
)
NO_TEMPLATE = "This template is gone, or belongs to another user. Choose another one."


class TemplateForm(forms.Form):
    """The fields of a template, and the choice of a kept one that fills them in."""

    template = forms.CharField(
        label="Use a kept template",
        required=False,
        widget=SelectInput(),
        help_text="Fills in the fields of the template. Your changes become its next version.",
    )
    system_part = template_part(
        "System part",
        3,
        "You read reviews of a coffee machine.",
        "The system message of each prompt. Leave empty for none.",
    )
    user_part = template_part(
        "User part",
        5,
        "Summarise in five words: {{ review }}",
        "Makes a prompt of each row of a table. Write a column as {{ review }}, and one with "
        'spaces in its name as {{ row["my column"] }}.',
    )
    template_label = forms.CharField(
        label="Name of the template",
        required=False,
        max_length=MAX_NAME_CHARS,
        widget=Text(),
        help_text="Versions of a template share it. Leave empty for the name of the batch.",
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._user = user
        self.given_template: FormTemplate | None = None
        # True if a kept template has filled in its fields just now.
        self.is_filled_in = False
        self.kept_template = kept_template(user, self[CHOSEN].value())
        # Asked for only when the form is shown.
        choices = CallableChoiceIterator(partial(template_choices, user, self.kept_template))
        cast(SelectInput, self.fields[CHOSEN].widget).choices = choices

    def clean_template(self) -> Template | None:
        if self.cleaned_data[CHOSEN] and self.kept_template is None:
            raise forms.ValidationError(NO_TEMPLATE)
        return self.kept_template

    def check_template(self, *, input_is_text: bool) -> None:
        """Compile the template of the fields, and add its errors to them.

        A template is refused for an input that is a text.
        """
        if self.kept_template and not any(map(self.text_in, (SYSTEM, USER))):
            self._fill_in(self.kept_template)
        if {SYSTEM, USER} & self.errors.keys() or not (self.text_in(SYSTEM) or self.text_in(USER)):
            return
        if input_is_text:
            self.add_error(USER, NOT_A_TABLE)
            return
        texts = self.cleaned_data[SYSTEM], self.cleaned_data[USER]
        try:
            self.given_template = template_of_texts(*texts, self.kept_template)
        except PartRefused as refused:
            self.add_error(refused.field, refused.message)

    def text_in(self, name: str) -> str:
        """Return the text of a field, or an empty string if it is blank."""
        text: str = self.cleaned_data.get(name, "")
        return text if text.strip() else ""

    def _fill_in(self, template: Template) -> None:
        """Show the texts of a kept template in its fields, as if they had been sent."""
        texts = texts_of(template)
        self.cleaned_data.update(texts)
        data = cast(QueryDict, self.data).copy()
        for name, text in texts.items():
            data[name] = text
        self.data = data
        self.is_filled_in = True

    def template_source(self, *, otherwise: str) -> TemplateSource | None:
        """Return the template as it is stored; `otherwise` is its name if the user gave none."""
        if self.given_template is None:
            return None
        return TemplateSource(self.cleaned_data[NAME] or otherwise, self.given_template.messages)
