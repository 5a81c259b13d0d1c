"""Read the rows of a sheet of a workbook as a stream of cells."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite

from batches.engine.text.wording import quoted
from batches.inputs.table_files.archive import REMEDY, WORKBOOK
from batches.inputs.table_files.bounds import damaged
from batches.inputs.table_files.number_formats import date_text
from batches.inputs.table_files.workbook_parts import Workbook, unescaped
from batches.inputs.tables import MAX_COLUMNS, Cell

# As in a spreadsheet.
MAX_ROWS = 1_048_576
# Numbers of more digits are no longer exact in a spreadsheet.
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_EXACT_BELOW = 2**53
MAX_NUMBER_CHARS = 100
_DIGITS = "0123456789"


@dataclass(slots=True)
class SheetRow:
    """A row by its number in the sheet: its cells by column, or what is wrong with it."""

    number: int
    cells: dict[int, Cell] = field(default_factory=dict)
    fault: str = ""


class SheetReader:
    """Collects the rows of a sheet from its elements."""

    def __init__(self, workbook: Workbook, max_bytes: int) -> None:
        self._workbook = workbook
        self._max_bytes = max_bytes
        self._columns: dict[str, int] = {}
        self._rows: list[SheetRow] = []
        self._row: SheetRow | None = None
        self._number = 0
        self._bytes = 0
        # The cell that is read: its column, type, style, and the element that holds its value.
        self._column = 0
        self._cell: Mapping[str, str] | None = None
        self._holder = ""
        self._has_formula = False
        self._is_text = False
        self._phonetic = 0
        self._pieces: list[str] = []

    def taken(self) -> Iterator[SheetRow]:
        """Yield the rows since the last time."""
        rows, self._rows = self._rows, []
        yield from rows

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif self._cell is not None:
            self._is_text = name == self._holder and not self._phonetic
            self._has_formula = self._has_formula or name == "f"
            self._phonetic += name == "rPh"
        elif name == "row":
            self._begin_row(attributes.get("r"))

    def text(self, text: str) -> None:
        if self._is_text:
            self._bytes += len(text)
            if self._bytes <= self._max_bytes:
                self._pieces.append(text)

    def end(self, name: str) -> None:
        self._is_text = False
        if name == "c":
            self._end_cell()
        elif name == "row" and self._row is not None:
            if self._bytes > self._max_bytes:
                self._row.fault = (
                    f"The row is longer than {self._max_bytes} bytes (MAX_LINE_BYTES)."
                )
            self._rows.append(self._row)
            self._row = None
        elif name == "rPh":
            self._phonetic -= 1

    def _begin_row(self, given: str | None) -> None:
        number = self._number + 1 if given is None else _whole(given, len("1048576"))
        if self._row is not None or not self._number < number <= MAX_ROWS:
            raise _out_of_order(f"row {given}")
        self._number = number
        self._row = SheetRow(number)
        self._column = -1
        self._bytes = 0

    def _begin_cell(self, attributes: Mapping[str, str]) -> None:
        given = attributes.get("r")
        column = self._column + 1 if given is None else self._column_of(given)
        if self._row is None or self._cell is not None or not self._column < column < MAX_COLUMNS:
            raise _out_of_order(f"cell {given}")
        self._column = column
        self._cell = attributes
        self._holder = "t" if attributes.get("t") == "inlineStr" else "v"
        self._has_formula = False
        self._pieces.clear()

    def _end_cell(self) -> None:
        if self._row is None or self._cell is None:
            raise _out_of_order("cell")
        if self._bytes <= self._max_bytes:
            self._take(self._row, self._cell.get("t", "n"), "".join(self._pieces))
        self._cell = None

    def _take(self, row: SheetRow, kind: str, text: str) -> None:
        if self._has_formula and not text and kind not in ("str", "inlineStr"):
            self._refuse(
                "has a formula without its value: open the workbook in a spreadsheet and save it"
            )
        elif (value := self._value(kind, text)) != "":
            row.cells[self._column] = value

    def _value(self, kind: str, text: str) -> Cell:
        """Return the value of a cell; errors such as #N/A are texts."""
        if kind == "n":
            return self._number_in(text.strip()) if text else ""
        if kind == "s":
            shared = self._shared(text.strip())
            self._bytes += len(shared)
            return shared
        if kind == "b":
            return text.strip() in ("1", "true") if text else ""
        return unescaped(text)

    def _shared(self, text: str) -> str:
        place, texts = _whole(text, 9), self._workbook.texts
        if not 0 <= place < len(texts):
            raise damaged(WORKBOOK, f"a cell has the text {text[:20]} of {len(texts)}", REMEDY)
        return texts[place]

    def _number_in(self, text: str) -> Cell:
        style = _whole((self._cell or {}).get("s", "0"), 6)
        kinds = self._workbook.kinds
        kind = kinds[style] if 0 <= style < len(kinds) else ""
        if not kind and _WHOLE.fullmatch(text):
            return int(text)
        try:
            number = float(text[:MAX_NUMBER_CHARS])
        except ValueError:
            raise damaged(WORKBOOK, f"a cell has the number {text[:50]}", REMEDY) from None
        if not isfinite(number):
            self._refuse("has a number that is out of range")
            return ""
        date = date_text(number, kind, is_1904=self._workbook.is_1904) if kind else None
        if date is None and number.is_integer() and abs(number) < _EXACT_BELOW:
            return int(number)
        return number if date is None else date

    def _refuse(self, fault: str) -> None:
        if self._row is not None and not self._row.fault:
            self._row.fault = f"The cell {cell_name(self._row.number, self._column)} {fault}."

    def _column_of(self, reference: str) -> int:
        letters = reference.rstrip(_DIGITS)
        column = self._columns.get(letters)
        if column is None:
            if not 0 < len(letters) <= len("XFD") or not letters.isascii():
                raise _out_of_order(f"cell {quoted(reference)}")
            column = 0
            for letter in letters.upper():
                column = column * 26 + ord(letter) - ord("A") + 1
            column -= 1
            self._columns[letters] = column
        return column


def cell_name(row: int, column: int) -> str:
    """Return the name of a cell, such as C5, by its row from 1 and its column from 0."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row}"


def _whole(text: str, digits: int) -> int:
    """Return a whole number of at most this number of digits; -1 for another text."""
    return int(text) if len(text) <= digits and text.isascii() and text.isdecimal() else -1


def _out_of_order(what: str) -> Exception:
    return damaged(WORKBOOK, f"{what[:100]} is out of order", REMEDY)
