"""Read CSV and TSV as spreadsheets write them: a header, then rows, numbered from 1."""

import csv
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from batches.engine.text.wording import did_you_mean, named, quoted
from batches.inputs.text_lines import BadLine

Line = tuple[int, str] | BadLine
Cell = str | int | float | bool | None
# The name of a column as it is written, the name by which its cells are kept, and the type of its
# cells in the file, if it has one.
Column = tuple[str, str] | tuple[str, str, str]

# Delimiters in the order in which they are tried.
CSV_DELIMITERS = ",;\t|"
TSV_DELIMITERS = "\t,;|"
# The first line with which spreadsheets name the delimiter.
_SEP = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE | re.DOTALL)
# The cells of a header may have line breaks, up to this many lines.
MAX_HEADER_LINES = 100
# As in a spreadsheet.
MAX_COLUMNS = 16_384
# The code of the error that a column is missing.
NO_COLUMN = "missing_column"


@dataclass(frozen=True, slots=True)
class TableHeader:
    """The header of a table, with its names as they are written; a column may have no name.

    `types` are the types of the cells, if the file tells them; `doubt` is a sentence for the user.
    """

    names: tuple[str, ...]
    types: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def columns(self) -> "tuple[Column, ...]":
        """Return each name with the name by which the cells of its column are kept."""
        keys = column_keys(self.names)
        if self.types:
            return tuple(zip(self.names, keys, self.types, strict=True))
        return tuple(zip(self.names, keys, strict=True))


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table: its cells by the names of their columns, all of the header."""

    number: int
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class EmptyRow:
    """Consecutive rows without any text."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class BadRow:
    """An error in a row, or in the header (number None)."""

    number: int | None
    code: str
    message: str
    param: str | None = None


TableItem = TableHeader | TableRow | EmptyRow | BadRow


def cell_text(cell: Cell) -> str:
    """Return the text of a cell: a number or boolean as in JSON, null as an empty text."""
    if isinstance(cell, str):
        return cell
    return "" if cell is None else json.dumps(cell)


def is_blank(cell: Cell) -> bool:
    """Return True for a cell without a value or with a blank text."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def read_rows(
    lines: Iterator[Line], *, columns: Collection[str], delimiters: str, max_bytes: int
) -> Iterator[TableItem]:
    """Yield the header and the rows of a table with these columns; empty rows are numbered too.

    Stop at a row whose end cannot be found. Only one row is in memory at a time.
    """
    # The limit belongs to the whole process, so it is never lowered for other readers. The
    # limit of a row is kept by _Texts.
    csv.field_size_limit(max(csv.field_size_limit(), max_bytes))
    texts = _Texts(lines, max_bytes)
    header = _header(texts, columns, delimiters)
    if texts.fault:
        yield BadRow(None, texts.fault.code, texts.fault.message)
    elif fault := header_fault(header.written, columns):
        yield fault
    else:
        yield TableHeader(tuple(header.written))
        yield from _rows(texts, header)


def column_keys(written: Sequence[str]) -> list[str]:
    """Return a name of its own for each column of a header, by which its cells are kept.

    The first column without a name, such as the index of a data frame, is "".
    """
    names = [name.strip() for name in written]
    if len(set(names)) == len(names):
        return names
    keys: dict[str, None] = {}
    for place, name in enumerate(names, start=1):
        key = name if name not in keys else f"column {place}"
        while key in keys or (key != name and key in names):
            key += "_"
        keys[key] = None
    return list(keys)


def missing_columns_text(
    missing: Sequence[str], known: Sequence[str], having: str = "The header names"
) -> str:
    """Return the error that a table or row lacks columns, with the columns that it has."""
    hints = [did_you_mean(name, known) for name in missing]
    which = "is no column" if len(missing) == 1 else "are no columns"
    return f"There {which} {named(missing)}.{''.join(hints)} {having} {named(known)}."


def column_names(
    lines: Iterator[Line], *, column: str, delimiters: str, max_bytes: int
) -> list[str]:
    """Return the names in the header of a table, as `read_rows` finds them for this column."""
    header = _header(_Texts(lines, max_bytes), [column], delimiters)
    return [name for name in dict.fromkeys(header.names) if name]


@dataclass(frozen=True, slots=True)
class _Header:
    written: Sequence[str]
    delimiter: str

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.written]


class _Texts:
    """The lines of a table for its parser, up to the first fault. A row has the limit of a line."""

    def __init__(self, lines: Iterator[Line], max_bytes: int) -> None:
        self.fault: BadLine | None = None
        self._lines = lines
        self._max_bytes = max_bytes
        self._row_bytes = 0

    def begin_row(self) -> None:
        self._row_bytes = 0

    def refuse(self, message: str) -> None:
        """Keep the first fault, since the parser only reports that its input ends too soon."""
        self.fault = self.fault or BadLine(0, "invalid_csv_line", message)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if isinstance(line, BadLine):
            self.fault = line
            raise StopIteration
        self._row_bytes += len(line[1])
        if self._row_bytes > self._max_bytes:
            self.refuse(f"The row is longer than {self._max_bytes} bytes (MAX_LINE_BYTES).")
            raise StopIteration
        return line[1]


def _header(texts: _Texts, columns: Collection[str], delimiters: str) -> _Header:
    """Return the header, split at its delimiter."""
    lines = _header_lines(texts)
    if lines and (match := _SEP.fullmatch(lines[0])):
        delimiters = match[1]
        lines = _header_lines(texts)
    found = [_Header(names, mark) for mark in delimiters if (names := _names(lines, mark))]
    if not found:
        if lines:
            texts.refuse("The header is not CSV: its quotes do not match.")
        return _Header([], ",")
    # Prefer the header with the most of these columns, then the one with the most columns.
    wanted = set(columns)
    return max(found, key=lambda header: (len(wanted & {*header.names}), len(header.names)))


def _header_lines(texts: _Texts) -> list[str]:
    """Return the lines of the first non-blank row; its cells may have line breaks."""
    lines: list[str] = []
    quotes = 0
    texts.begin_row()
    for text in texts:
        if not text.strip() and not lines:
            texts.begin_row()
            continue
        lines.append(text)
        quotes += text.count('"')
        if quotes % 2 == 0 or len(lines) >= MAX_HEADER_LINES:
            break
    return lines


def _names(lines: Sequence[str], delimiter: str) -> list[str]:
    try:
        [names] = csv.reader(lines, delimiter=delimiter, strict=True)
    except (csv.Error, ValueError, TypeError):
        return []
    return names


def header_fault(written: Sequence[str], columns: Collection[str]) -> BadRow | None:
    """Return the error of a header that lacks one of these columns or has a name twice."""
    names = [name.strip() for name in written]
    if len(names) > MAX_COLUMNS:
        message = f"The header names {len(names):,} columns. The most is {MAX_COLUMNS:,}."
        return BadRow(None, "too_many_columns", message, "column")
    for name in names:
        places = [str(n) for n, other in enumerate(names, start=1) if other == name]
        if name and len(places) > 1:
            where = f"{', '.join(places[:-1])} and {places[-1]}"
            message = (
                f"The header names {quoted(name)} more than once, in columns {where}. "
                "Rename all but one of them."
            )
            return BadRow(None, "duplicate_column", message, "column")
    known = [name for name in names if name]
    missing = [name for name in columns if name not in names]
    if known and not missing:
        return None
    if not known:
        message = "The file is empty, or has no header: its first line must name the columns."
        return BadRow(None, "missing_header", message, "column")
    return BadRow(None, NO_COLUMN, missing_columns_text(missing, known), "column")


def _rows(texts: _Texts, header: _Header) -> Iterator[TableRow | EmptyRow | BadRow]:
    number = 1
    keys = column_keys(header.written)
    texts.begin_row()
    try:
        for cells in csv.reader(texts, delimiter=header.delimiter, strict=True):
            if texts.fault:
                break
            yield _row(number, cells, keys, header) if any(map(str.strip, cells)) else EmptyRow()
            texts.begin_row()
            number += 1
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        texts.refuse(f'The row is not CSV: {reason}. Write a " within quotes twice.')
    if texts.fault:
        yield BadRow(number, texts.fault.code, texts.fault.message)


def _row(number: int, cells: list[str], keys: Sequence[str], header: _Header) -> TableRow | BadRow:
    if any(map(str.strip, cells[len(keys) :])):
        # Usually a text with a comma and without quotes; without this check, half would be sent.
        message = (
            f"The row is not CSV: it has {len(cells)} fields, but the header names {len(keys)}. "
            f"Put quotes around a text that contains {quoted(header.delimiter)}. If another "
            "character separates the columns, begin the file with a line such as 'sep=;'."
        )
        return BadRow(number, "invalid_csv_line", message, "row")
    cells += repeat("", len(keys) - len(cells))
    return TableRow(number, dict(zip(keys, cells, strict=False)))
