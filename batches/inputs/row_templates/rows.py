"""Make requests of the rows of a table by a template, and keep the rows beside them."""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

from pydantic_core import to_json

from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.engine.schemas.strict import StrictProblem
from batches.engine.text.sendable import text_fault
from batches.engine.text.wording import described, quoted, wrong_type
from batches.inputs.input_formats import FORMULA_CELLS, FORMULA_STARTS
from batches.inputs.request_lines import Request, parse_line
from batches.inputs.row_templates.bodies import templated_body
from batches.inputs.row_templates.images import ImageFolder, content_of
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.tables import MAX_COLUMNS, Cell, Column, cell_text

MAX_NAMES_CHARS = 1024 * 1024
# What begins like a formula but is a number.
_NUMBER = re.compile(r"[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?\s*%?", re.ASCII)


class TemplatedRows:
    """Makes the requests of one input, row by row."""

    def __init__(
        self, template: RowTemplate, endpoint: str, images: ImageFolder | None = None
    ) -> None:
        self._template = template
        self._images = images
        self._endpoint = endpoint
        self._names: set[str] = set()
        self._new: tuple[Column, ...] = ()
        self._cells: Mapping[str, Cell] = {}
        self._is_warned = False

    def begin(self, columns: tuple[Column, ...]) -> None:
        """Begin a table with a header."""
        self._names = {key for _, key, *_ in columns}
        self._new = columns

    def of_line(self, text: str, _options: object) -> Request:
        """Return the request for a line of JSONL, an object of cells. Raise as parse_line does."""
        cells = parse_line(text)
        for name, cell in cells.items():
            if isinstance(cell, float) and not isfinite(cell):
                text = f"The number in the column {quoted(name)} is out of range."
                raise PromptRejected(text, param=name)
            if isinstance(cell, dict | list):
                raise PromptRejected(
                    f"The column {quoted(name)} has {described(cell)}. A cell is a string, a "
                    "number, a boolean or null: write a nested value as a string of JSON.",
                    param=name,
                    code="invalid_type",
                )
        custom_id = cells.get("custom_id")
        if custom_id is not None and not isinstance(custom_id, str):
            raise wrong_type("custom_id", custom_id, "a string")
        return self.of_row(cells, _options)

    def of_row(self, cells: Mapping[str, Any], _options: object) -> Request:
        """Return the request for the cells of a row. Raise PromptRejected."""
        _check_texts(cells)
        field = rules_of(self._endpoint).asked_in or ""
        messages: list[dict[str, Any]] = [
            {**message, "content": content_of(message["content"], field, self._images)}
            for message in self._template.messages_for(cells)
        ]
        self._cells = cells
        return cell_text(cells.get("custom_id")) or None, templated_body(messages, self._endpoint)

    def kept(self) -> tuple[str, tuple[Column, ...], tuple[StrictProblem, ...]]:
        """Return the latest row as JSON text, the columns that it is the first to have, and the
        warnings about it. Raise PromptRejected for too many columns."""
        cells = self._cells
        if not cells.keys() <= self._names:
            added = [name for name in cells if name not in self._names]
            self._names.update(added)
            self._new = (*self._new, *((name, name) for name in added))
        new, self._new = self._new, ()
        if new:
            self._check_columns()
        return to_json(cells).decode(), new, () if self._is_warned else self._warnings(cells)

    def _check_columns(self) -> None:
        count, chars = len(self._names), sum(map(len, self._names))
        if count > MAX_COLUMNS or chars > MAX_NAMES_CHARS:
            raise PromptRejected(
                f"The table has too many columns: {count:,}, with {chars:,} characters in their "
                f"names. The most are {MAX_COLUMNS:,} and {MAX_NAMES_CHARS:,}.",
                param="columns",
                code="too_many_columns",
            )

    def _warnings(self, cells: Mapping[str, Cell]) -> tuple[StrictProblem, ...]:
        """Return a warning at the first cell that a spreadsheet may run as a formula."""
        for name, cell in cells.items():
            if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
                if _NUMBER.fullmatch(cell[:100]):
                    continue
                self._is_warned = True
                message = (
                    f"The column {quoted(name)} has a cell that begins like a formula, "
                    f"{quoted(cell)}. Cells of the input are written to a CSV unchanged, so a "
                    "spreadsheet may run them, as it does in the input."
                )
                return (StrictProblem(FORMULA_CELLS, name, message),)
        return ()


def _check_texts(cells: Mapping[str, Cell]) -> None:
    """Raise PromptRejected for a cell that cannot be sent or stored."""
    texts = [cell for cell in cells.values() if isinstance(cell, str)]
    if not text_fault("".join((*cells, *texts)), allow_nul=False):
        return
    for name, cell in cells.items():
        for text, what in ((name, "The name of the column"), (cell, "The cell in the column")):
            if isinstance(text, str) and (fault := text_fault(text, allow_nul=False)):
                raise PromptRejected(f"{what} {quoted(name)} {fault}", param=name)
