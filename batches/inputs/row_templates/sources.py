"""The source of a template: messages, each with a role and a text in the language of Jinja."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from batches.engine.text.sendable import text_fault

MAX_TEMPLATE_CHARS = 100_000
MAX_TEMPLATE_MESSAGES = 100

TemplateRole = Literal["system", "user", "assistant"]
# A line of a file that begins the next message.
_MARK = re.compile(r"^[ \t]*\{#[ \t]*(system|user|assistant)[ \t]*#\}[ \t]*\r?$", re.MULTILINE)


class TemplateMessage(BaseModel):
    """A message of a template. `content` is a text with the names of columns: `{{ review }}`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"examples": [{"role": "user", "content": "Rate: {{ review }}"}]},
    )

    role: TemplateRole
    content: Annotated[str, Field(min_length=1, max_length=MAX_TEMPLATE_CHARS)]


_MESSAGES = TypeAdapter(list[TemplateMessage])


class TemplateRefused(Exception):
    """A template is refused; `message` is a sentence, with the number of the message and the line
    in it if they are known."""

    def __init__(self, message: str, *, number: int | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.number = number
        self.line = line


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """The messages of a template file, and the line of the file that each begins on."""

    messages: tuple[TemplateMessage, ...]
    lines: tuple[int, ...]

    def line_of(self, fault: TemplateRefused) -> int | None:
        """Return the line of the file that an error is on, if it is known."""
        if fault.number is None or fault.line is None:
            return None
        return self.lines[fault.number] + fault.line - 1


def file_messages(text: str) -> TemplateFile:
    """Return the messages of a template file. Raise TemplateRefused.

    Without marks such as `{# system #}` on a line of their own, the text is the user message.
    """
    if len(text) > MAX_TEMPLATE_CHARS:
        raise _too_long(len(text))
    marks = list(_MARK.finditer(text))
    starts = [0, *(mark.end() for mark in marks)]
    ends = [*(mark.start() for mark in marks), len(text)]
    messages: list[TemplateMessage] = []
    lines: list[int] = []
    roles: list[Any] = ["user", *(mark[1] for mark in marks)]
    for role, start, end in zip(roles, starts, ends, strict=True):
        content = text[start:end]
        if content.strip():
            begin = start + len(content) - len(content.lstrip("\r\n"))
            messages.append(TemplateMessage(role=role, content=content.strip("\r\n")))
            lines.append(text.count("\n", 0, begin) + 1)
    check_messages(messages)
    return TemplateFile(tuple(messages), tuple(lines))


def stored_messages(value: Any) -> list[TemplateMessage]:
    """Return messages from their JSON values, a list of objects. Raise TemplateRefused."""
    try:
        messages = _MESSAGES.validate_python(value)
    except ValidationError as error:
        raise TemplateRefused("The stored template has no messages of this release.") from error
    check_messages(messages)
    return messages


def check_messages(messages: Sequence[TemplateMessage]) -> None:
    """Raise TemplateRefused for messages that are no conversation, or too long together."""
    if not any(message.role == "user" for message in messages):
        fault = "The template has no user message." if messages else "The template is empty."
        raise TemplateRefused(f"{fault} Write a text with the names of columns: {{{{ review }}}}.")
    if len(messages) > MAX_TEMPLATE_MESSAGES:
        raise TemplateRefused(
            f"The template has {len(messages)} messages. The most is {MAX_TEMPLATE_MESSAGES}."
        )
    chars = sum(len(message.content) for message in messages)
    if chars > MAX_TEMPLATE_CHARS:
        raise _too_long(chars)
    for number, message in enumerate(messages):
        if fault := text_fault(message.content, allow_nul=False):
            raise TemplateRefused(f"The template {fault}", number=number)
        if number and message.role == "system":
            raise TemplateRefused("The system message must be the first one.", number=number)


def _too_long(chars: int) -> TemplateRefused:
    return TemplateRefused(
        f"The template has {chars:,} characters. The most is {MAX_TEMPLATE_CHARS:,}."
    )
