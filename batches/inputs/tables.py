"""CSV and TSV as spreadsheets write them: a header, then rows, numbered from 1 behind it."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batches.engine.text.wording import did_you_mean, named, quoted
from batches.inputs.text_lines import BadLine

Line = tuple[int, str] | BadLine

# Tried in this order where a header says nothing of what separates its columns.
CSV_DELIMITERS = ",;\t|"
TSV_DELIMITERS = "\t,;|"
# What spreadsheets write, and read, as the first line to say what separates the columns.
_SEP = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE | re.DOTALL)
# Cells of a header have line breaks, but not more.
MAX_HEADER_LINES = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: its cells by the names of their columns."""

    number: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with a row, or with the header, whose number is None."""

    number: int | None
    code: str
    message: str
    param: str | None = None


def read_rows(
    lines: Iterator[Line], *, column: str, delimiters: str, max_bytes: int
) -> Iterator[Row | BadRow]:
    """Yield the rows of a table that has this column; empty ones are counted and passed over.

    After a row that cannot be told from the next one nothing more is read. Holds one row.
    """
    csv.field_size_limit(max_bytes)
    texts = _Texts(lines, max_bytes)
    header = _header(texts, column, delimiters)
    if texts.fault:
        yield BadRow(None, texts.fault.code, texts.fault.message)
    elif fault := _fault_of(header.names, column):
        yield fault
    else:
        yield from _rows(texts, header)


@dataclass(frozen=True, slots=True)
class _Header:
    names: Sequence[str]
    delimiter: str


class _Texts:
    """The lines of a table for its parser, until one is wrong; a row has the limit of a line."""

    def __init__(self, lines: Iterator[Line], max_bytes: int) -> None:
        self.fault: BadLine | None = None
        self._lines = lines
        self._max_bytes = max_bytes
        self._row_bytes = 0

    def begin_row(self) -> None:
        self._row_bytes = 0

    def refuse(self, message: str) -> None:
        """Keep the first fault: the parser sees only that its input ends too soon."""
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


def _header(texts: _Texts, column: str, delimiters: str) -> _Header:
    """Return the header, cut at what separates its columns."""
    lines = _header_lines(texts)
    if lines and (match := _SEP.fullmatch(lines[0])):
        delimiters = match[1]
        lines = _header_lines(texts)
    found = [_Header(names, mark) for mark in delimiters if (names := _names(lines, mark))]
    if not found:
        if lines:
            texts.refuse("The header is not CSV: its quotes do not match.")
        return _Header([], ",")
    # The first of those with the most columns; one that has the column before others.
    return max(found, key=lambda header: (column in header.names, len(header.names)))


def _header_lines(texts: _Texts) -> list[str]:
    """Return the lines of the first row that is not blank, whose cells may have line breaks."""
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
    return [name.strip() for name in names]


def _fault_of(names: Sequence[str], column: str) -> BadRow | None:
    for name in names:
        places = [str(n) for n, other in enumerate(names, start=1) if other == name]
        if name and len(places) > 1:
            where = f"{', '.join(places[:-1])} and {places[-1]}"
            message = (
                f"The header names {quoted(name)} more than once, in columns {where}. "
                "Rename all but one of them."
            )
            return BadRow(None, "duplicate_column", message, "column")
    if column in names:
        return None
    known = [name for name in names if name]
    message = (
        f"There is no column {quoted(column)}.{did_you_mean(column, known)} "
        f"The header names {named(known) or 'none'}"
    )
    return BadRow(None, "missing_column", message, "column")


def _rows(texts: _Texts, header: _Header) -> Iterator[Row | BadRow]:
    number = 1
    texts.begin_row()
    try:
        for cells in csv.reader(texts, delimiter=header.delimiter, strict=True):
            if texts.fault:
                break
            if any(map(str.strip, cells)):
                yield _row(number, cells, header)
            texts.begin_row()
            number += 1
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        texts.refuse(f'The row is not CSV: {reason}. Write a " within quotes twice.')
    if texts.fault:
        yield BadRow(number, texts.fault.code, texts.fault.message)


def _row(number: int, cells: list[str], header: _Header) -> Row | BadRow:
    names = header.names
    if any(map(str.strip, cells[len(names) :])):
        # Mostly a text with a comma and without quotes, half of which would be sent.
        message = (
            f"The row is not CSV: it has {len(cells)} fields, but the header names {len(names)}. "
            f"Put quotes around a text that holds {quoted(header.delimiter)}; where another "
            "character separates the columns, begin the file with a line such as 'sep=;'."
        )
        return BadRow(number, "invalid_csv_line", message, "row")
    return Row(number, dict(zip(names, cells, strict=False)))
