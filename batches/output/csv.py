"""Write results as CSV for spreadsheets, in the order of the input."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from batches.formats import microseconds
from batches.inputs.input_formats import FORMULA_STARTS
from batches.models import Batch
from batches.output.result_tables import plain_columns, plain_lines, result_table

# The mark by which Excel recognises UTF-8.
BOM = b"\xef\xbb\xbf"


def csv_lines(batch: Batch, *, failed: bool | None = None) -> Iterator[bytes]:
    """Yield a header and a line for each result, with one page in memory at a time.

    With `failed`, only the failed prompts have a line, or only the others. A batch with a template
    has the columns of its input first, whose cells are written as they were: a spreadsheet does
    with them what it does in the input. All that a provider sent is kept from being a formula.
    """
    table = result_table(batch)
    if table is not None:
        names = (column.name for column in table.columns)
        yield BOM + _line((*names, *map(_safe, table.added)))
        for cells, values in table.lines(batch, failed=failed):
            yield _line((*map(_cell, cells), *(_safe(_cell(value)) for value in values)))
        return
    yield BOM + _line(map(_safe, plain_columns(batch)))
    for values in plain_lines(batch, failed=failed):
        yield _line(map(_safe, values))


def csv_line(values: Iterable[Any]) -> bytes:
    """Return a line of values that a provider may have sent; none of them is a formula."""
    return _line(_safe(_cell(value)) for value in values)


def _line(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode(errors="replace")


def _cell(value: Any) -> Any:
    """Return a value as it stands in a cell: a list is JSON, null is empty."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _safe(value: Any) -> Any:
    if isinstance(value, float):
        return microseconds(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
