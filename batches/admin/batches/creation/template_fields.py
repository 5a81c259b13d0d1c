"""The template in the form for a new batch: the texts of its fields, and the messages they make."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django import forms

from batches.admin.base import small_number
from batches.admin.widgets import TextArea
from batches.conf import conf
from batches.engine.errors import PromptRejected
from batches.engine.prepare import SET_TWICE
from batches.engine.text.wording import quoted
from batches.inputs.prompts import LineError
from batches.inputs.row_templates.bodies import TEMPLATE
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import (
    MAX_TEMPLATE_CHARS,
    TemplateFile,
    TemplateMessage,
    TemplateRefused,
    check_messages,
    file_messages,
    stored_messages,
)
from batches.inputs.tables import NO_COLUMN
from batches.models import Template
from batches.users import User

CHOSEN, SYSTEM, USER, NAME = "template", "system_part", "user_part", "template_label"
# The fields that a template fills in.
PARTS = (SYSTEM, USER, NAME)
# The most names to choose from, and the versions among which they are looked for.
MOST_CHOICES = 100
LATEST_VERSIONS = 1000
_LINE_END = re.compile(r"\r\n?")


def template_part(label: str, rows: int, example: str, explanation: str) -> forms.CharField:
    """Return the field for a part of a template."""
    return forms.CharField(
        label=label,
        required=False,
        strip=False,
        max_length=MAX_TEMPLATE_CHARS,
        widget=TextArea(rows=rows, placeholder=example),
        help_text=explanation,
    )


class PartRefused(Exception):
    """A template is refused because of the text in one of its fields."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class FormTemplate:
    """The template of a form, compiled, and its messages as they are stored."""

    row_template: RowTemplate
    messages: list[dict[str, str]]

    def check_against(self, endpoint: str, defaults: Mapping[str, object]) -> None:
        """Raise PartRefused for a template that the endpoint or the default fields rule out, and
        PromptRejected for an error in another field."""
        try:
            self.row_template.check_against(endpoint, defaults)
        except TemplateRefused as refused:
            raise PartRefused(USER, refused.message) from refused
        except PromptRejected as error:
            if error.param != TEMPLATE:
                raise
            field = SYSTEM if error.code == SET_TWICE else USER
            raise PartRefused(field, error.message) from error

    def field_of(self, error: LineError | PromptRejected) -> str | None:
        """Return the field that an error of a row comes from; None if it is not the template."""
        if error.code != NO_COLUMN and error.param != TEMPLATE:
            return None
        return SYSTEM if self._is_of_system(error.message) else USER

    def _is_of_system(self, message: str) -> bool:
        first = self.messages[0]
        if first["role"] != "system":
            return False
        if "of the system message" in message:
            return True
        if not message.startswith("There is no column "):
            return False
        # The user part may name the column too, but this is the first place.
        own = TemplateMessage(role="user", content=first["content"])
        names = RowTemplate([own], max_chars=conf().MAX_LINE_BYTES).columns
        return any(message.startswith(f"There is no column {quoted(name)}.") for name in names)


def texts_of(template: Template) -> dict[str, str]:
    """Return the texts of the fields that make this template again."""
    messages = list(template.messages)
    system = messages.pop(0)["content"] if messages and messages[0]["role"] == "system" else ""
    # Further messages follow marks, as in a template file.
    texts = [
        f"{{# {message['role']} #}}\n{message['content']}" if number else message["content"]
        for number, message in enumerate(messages)
    ]
    return {SYSTEM: unified(system), USER: unified("\n".join(texts)), NAME: template.name}


def unified(text: str) -> str:
    """Return a text with the line ends of a template; browsers send others."""
    return _LINE_END.sub("\n", text)


def template_of_texts(system: str, user: str, kept: Template | None) -> FormTemplate:
    """Return the template that the texts of the fields make. Raise PartRefused.

    With the texts of a kept template, its own messages are returned, so that it is used again.
    """
    system, user = unified(system), unified(user)
    if kept and (system, user) == tuple(map(texts_of(kept).get, (SYSTEM, USER))):
        return _compiled(stored_messages(kept.messages), None)
    first = _system_message(system)
    try:
        file = file_messages(user)
    except TemplateRefused as refused:
        raise PartRefused(USER, _with_line(refused.message, refused.line)) from refused
    return _compiled([*first, *file.messages], file)


def _system_message(text: str) -> list[TemplateMessage]:
    if not text.strip():
        return []
    return [TemplateMessage(role="system", content=text.strip("\n"))]


def _compiled(messages: Sequence[TemplateMessage], file: TemplateFile | None) -> FormTemplate:
    try:
        check_messages(messages)
        template = RowTemplate(messages, max_chars=conf().MAX_LINE_BYTES)
    except TemplateRefused as refused:
        raise _refused_part(refused, messages, file) from refused
    return FormTemplate(template, [message.model_dump() for message in messages])


def _refused_part(
    refused: TemplateRefused, messages: Sequence[TemplateMessage], file: TemplateFile | None
) -> PartRefused:
    """Return the error for the field that it comes from, with the line in the field."""
    number, line = refused.number, refused.line
    before = int(messages[0].role == "system")
    if number == 0 and before:
        return PartRefused(SYSTEM, _with_line(refused.message, line))
    if file is not None and number is not None:
        own = TemplateRefused(refused.message, number=number - before, line=line)
        line = file.line_of(own)
    return PartRefused(USER, _with_line(refused.message, line))


def _with_line(message: str, line: int | None) -> str:
    return f"Line {line}: {message}" if line else message


def kept_template(user: User, pk: object) -> Template | None:
    """Return a template that the user may use, by the value of the field."""
    number = small_number(str(pk or ""))
    if number is None or not user.has_perm("batches.view_template"):
        return None
    return Template.objects.visible_to(user).filter(pk=number).first()


def template_choices(user: User, chosen: Template | None) -> list[tuple[str, str]]:
    """Return the latest version of each name that the user may use, and the chosen version."""
    named: dict[tuple[int | None, str], tuple[str, str]] = {}
    if user.has_perm("batches.view_template"):
        visible = Template.objects.visible_to(user).order_by("-pk")
        columns = visible.values_list("pk", "owner_id", "name", "version")
        for pk, owner, name, version in columns[:LATEST_VERSIONS]:
            if (owner, name) not in named and len(named) < MOST_CHOICES:
                named[owner, name] = (str(pk), str(Template(name=name, version=version)))
    choices = [("", "None"), *named.values()]
    if chosen is not None and str(chosen.pk) not in dict(choices):
        choices.insert(1, (str(chosen.pk), str(chosen)))
    return choices
