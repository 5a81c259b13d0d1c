"""Compile the messages of a template, and make the messages of a prompt from each row."""

import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError, UndefinedError

from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.inputs.row_templates.bodies import TEMPLATE, check_roles
from batches.inputs.row_templates.filters import WrongValue
from batches.inputs.row_templates.sandbox import (
    ROW,
    CountingWork,
    RowEnvironment,
    checked_tree,
    has_images,
    names_in,
    reads_whole_row,
)
from batches.inputs.row_templates.sources import TemplateMessage, TemplateRefused, check_messages
from batches.inputs.row_templates.work_meter import TemplateLimit, WorkMeter
from batches.inputs.tables import NO_COLUMN, Cell, missing_columns_text

_FILE = "<template>"
_FAULTS = (
    *(TemplateError, TemplateLimit, WrongValue, ArithmeticError, TypeError, ValueError),
    *(LookupError, RecursionError),
)


class RowTemplate:
    """A compiled template. `columns` are the columns that it names, in order.

    Not for several threads at once: the work for a row is counted in one place.
    """

    def __init__(self, messages: Sequence[TemplateMessage], *, max_chars: int) -> None:
        """Compile the messages. Raise TemplateRefused."""
        check_messages(messages)
        self._max_chars = max_chars
        self._meter = WorkMeter(max_chars)
        self._environment = RowEnvironment(self._meter)
        names: dict[str, None] = {}
        self._reads_row = self._has_images = False
        self._parts = [
            _Part(message.role, self._compiled(number, message, names))
            for number, message in enumerate(messages)
        ]
        self.columns = tuple(names)
        self._names = frozenset(names)

    def check_against(self, endpoint: str, defaults: Mapping[str, Any]) -> None:
        """Raise PromptRejected for an endpoint or default fields that rule the template out, and
        TemplateRefused if all prompts would be equal."""
        if not self._reads_row:
            raise TemplateRefused(
                "The template names no column, so all prompts would be equal. Write a column as "
                "{{ review }}."
            )
        check_roles([part.role for part in self._parts], endpoint, defaults)
        if self._has_images and rules_of(endpoint).system_in is None:
            raise TemplateRefused(f"A request to {endpoint} is one text, without images.")

    def _compiled(self, number: int, message: TemplateMessage, names: dict[str, None]) -> Template:
        try:
            tree = checked_tree(self._environment, message.content)
            names |= dict.fromkeys(names_in(self._environment, tree))
            self._reads_row = self._reads_row or bool(names) or reads_whole_row(tree)
            if has_images(tree):
                self._has_images = True
                if message.role != "user":
                    raise TemplateRefused("Only a user message can have an image.", line=1)
            return self._environment.from_string(CountingWork().visit(tree))
        except TemplateRefused as refused:
            raise TemplateRefused(refused.message, number=number, line=refused.line) from refused
        except (TemplateError, SyntaxError, RecursionError) as error:
            message_ = f"The template is not valid: {error}."
            raise TemplateRefused(message_, number=number, line=1) from error

    def messages_for(self, row: Mapping[str, Cell]) -> list[dict[str, str]]:
        """Return the messages of the prompt for a row, with marks around the addresses of images.

        Raise PromptRejected.
        """
        if missing := self._names - row.keys():
            raise PromptRejected(
                missing_columns_text(
                    [name for name in self.columns if name in missing], list(row), "The row has"
                ),
                param=TEMPLATE,
                code=NO_COLUMN,
            )
        values: dict[str, object] = {name: row[name] for name in self.columns}
        self._meter.begin(_chars_of(row))
        values[ROW] = row
        left = self._max_chars
        messages = []
        for part in self._parts:
            text = part.text(values, left)
            left -= len(text)
            messages.append({"role": part.role, "content": text})
        return messages


def _chars_of(row: Mapping[str, Cell]) -> int:
    try:
        return sum(map(len, row.values()))  # type: ignore[arg-type]  # else the next line
    except TypeError:
        return sum(len(cell) if isinstance(cell, str) else 1 for cell in row.values())


class _Part:
    """A compiled message. Its context is kept, since making one takes longer than most rows."""

    def __init__(self, role: str, template: Template) -> None:
        self.role = role
        self._template = template
        self._context = template.new_context()

    def text(self, values: dict[str, object], most: int) -> str:
        """Return the text for these values, of up to `most` characters. Raise PromptRejected."""
        self._context.vars.clear()
        self._context.exported_vars.clear()
        self._context.parent = values
        pieces: list[str] = []
        try:
            for piece in self._template.root_render_func(self._context):
                most -= len(piece)
                if most < 0:
                    raise TemplateLimit("The prompt is longer than MAX_LINE_BYTES.")
                pieces.append(piece)
        except _FAULTS as error:
            raise self._refused(error) from error
        return "".join(pieces)

    def _refused(self, error: Exception) -> PromptRejected:
        """Return the error for a row, with the line of the template."""
        line = self._line_of(error)
        place = f"line {line} of the {self.role} message" if line else f"the {self.role} message"
        message = f"The template cannot be applied to the row, in {place}: {_reason(error)}"
        return PromptRejected(message, param=TEMPLATE, code="template_failed")

    def _line_of(self, error: Exception) -> int | None:
        lines = [
            self._template.get_corresponding_lineno(frame.lineno or 1)
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == _FILE
        ]
        return lines[-1] if lines else None


def _reason(error: Exception) -> str:
    text = str(error).rstrip(".")
    if isinstance(error, ZeroDivisionError):
        text = "It divides by zero"
    elif isinstance(error, UndefinedError) and text.endswith("is undefined"):
        text = f"{text} here: {{% set %}} gives it a value in another place only"
    elif isinstance(error, TypeError) and "not supported between instances" in text:
        text = (
            "Values of different kinds are compared. The filter 'int' or 'float' gives the number "
            "in a cell"
        )
    return f"{text}."
