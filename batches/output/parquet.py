"""Write results as Parquet: the columns of a table of results, with their types."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batches.extras import require

# Before anything imports the packages of this extra.
require("tables", "Parquet")

import pyarrow as pa
import pyarrow.parquet as pq

from batches.engine.text.wording import quoted
from batches.errors import NotPossible
from batches.inputs.table_files.arrow_types import array_of, type_of
from batches.models import Batch
from batches.output.pipe import Pipe
from batches.output.result_tables import ValueType, plain_columns, plain_lines, result_table

# A row group is written when it has this number of rows, or of characters.
GROUP_ROWS = 10_000
GROUP_CHARS = 16 * 1024 * 1024

_TYPES: dict[ValueType, pa.DataType] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}


def parquet_pieces(
    batch: Batch, *, failed: bool | None = None, group_rows: int = GROUP_ROWS
) -> Iterator[bytes]:
    """Yield a file with a row for each result, in the order of the input, with one row group in
    memory.

    With `failed`, only for the failed prompts, or only for the others. Columns of a Parquet input
    keep their types, all other columns of an input are texts. Raise NotPossible for an answer that
    does not fit its column.
    """
    table, pipe = _table_of(batch, failed), Pipe()
    with pq.ParquetWriter(pipe, table.schema) as writer:
        for rows in _groups(table.rows, group_rows):
            writer.write_table(table.group(rows))
            yield pipe.take()
    yield pipe.take()


@dataclass(frozen=True, slots=True)
class _Table:
    """The columns of a table, and its rows."""

    schema: pa.Schema
    rows: Iterator[Sequence[Any]]

    def group(self, rows: Sequence[Sequence[Any]]) -> pa.Table:
        columns = [
            _column(field, [row[number] for row in rows])
            for number, field in enumerate(self.schema)
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)


def _table_of(batch: Batch, failed: bool | None) -> _Table:  # noqa: FBT001 - three values
    table = result_table(batch)
    if table is None:
        rows: Iterator[Sequence[Any]] = plain_lines(batch, failed=failed)
        columns = plain_columns(batch).items()
        return _Table(pa.schema([(name, _TYPES[kind]) for name, kind in columns]), rows)
    # A column without a name has one in a stored row.
    given = [(column.name or column.key, type_of(column.type)) for column in table.columns]
    added = [(name, _TYPES[kind]) for name, kind in table.added.items()]
    lines = table.lines(batch, failed=failed)
    return _Table(pa.schema([*given, *added]), ([*line.cells, *line.values] for line in lines))


def _groups(rows: Iterator[Sequence[Any]], most: int) -> Iterator[list[Sequence[Any]]]:
    group: list[Sequence[Any]] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += sum(len(value) for value in row if isinstance(value, str))
        if len(group) >= most or chars >= GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _column(field: pa.Field, values: list[Any]) -> pa.Array:
    try:
        return array_of([_value(value) for value in values], field.type)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise NotPossible(
            f"The column {quoted(field.name)} has a value that does not fit its type "
            f"{field.type}: write the results as CSV or JSONL instead"
        ) from error


def _value(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value
