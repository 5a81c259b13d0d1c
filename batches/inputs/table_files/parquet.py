"""Read a Parquet file as a table: batches of rows, bounded in time and memory."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from batches.engine.text.wording import quoted
from batches.inputs.table_files.arrow_types import CellFault, cells_of, check_column, kept_type
from batches.inputs.table_files.bounds import CELL_BYTES, UnpackedBytes, damaged, row_too_long
from batches.inputs.table_files.parquet_sizes import (
    PARQUET,
    REMEDY,
    check_ends,
    unpacked_bytes,
)
from batches.inputs.table_files.random_access import size_of
from batches.inputs.tables import (
    BadRow,
    Cell,
    EmptyRow,
    TableHeader,
    TableItem,
    TableRow,
    column_keys,
    header_fault,
    is_blank,
)
from batches.inputs.text_lines import UnreadableFile

# The rows and cells that are in memory at once.
BATCH_ROWS = 1000
BATCH_CELLS = 1_000_000
MAX_SCHEMA_ITEMS = 1_000_000
# A file of empty rows is small.
MAX_ROWS = 100_000_000


def parquet_rows(
    file: BinaryIO, *, columns: Collection[str], max_bytes: int
) -> Iterator[TableItem]:
    """Yield the header and the rows of a Parquet file. Raise UnreadableFile."""
    check_ends(file)
    unpacked = UnpackedBytes(PARQUET, size_of(file))
    with _explained():
        parquet = _opened(file)
        schema = parquet.schema_arrow
    names = [str(name) for name in schema.names]
    if fault := header_fault(names, columns):
        yield fault
        return
    for name, kind in zip(names, schema.types, strict=True):
        check_column(name, kind)
    if parquet.metadata.num_rows > MAX_ROWS:
        rows = f"{parquet.metadata.num_rows:,} rows. The most is {MAX_ROWS:,}: split it"
        raise UnreadableFile(f"The Parquet file has {rows}.")
    yield TableHeader(tuple(names), tuple(map(kept_type, schema.types)))
    number = 1
    for batch in _batches(file, parquet, unpacked, len(names)):
        yield from _rows(batch, number, column_keys(names), max_bytes, unpacked)
        number += batch.num_rows


def _opened(file: BinaryIO) -> Any:
    options: dict[str, Any] = {
        # Arrow must not read ahead, or in threads that cannot be stopped.
        "pre_buffer": False,
        "thrift_string_size_limit": MAX_SCHEMA_ITEMS,
        "thrift_container_size_limit": MAX_SCHEMA_ITEMS,
    }
    schema = pq.ParquetFile(file, **options).schema
    texts = [schema.column(number) for number in range(len(schema))]
    # A text that comes in each row is in memory once.
    paths = [column.path for column in texts if column.physical_type == "BYTE_ARRAY"]
    return pq.ParquetFile(file, read_dictionary=paths, **options)


def _batches(
    file: BinaryIO, parquet: Any, unpacked: UnpackedBytes, columns: int
) -> Iterator[pa.RecordBatch]:
    rows = max(1, min(BATCH_ROWS, BATCH_CELLS // columns))
    for group in range(parquet.num_row_groups):
        if parquet.metadata.row_group(group).num_rows <= 0:
            continue
        with _explained():
            unpacked.count(unpacked_bytes(file, parquet.metadata, group))
            batches = parquet.iter_batches(rows, row_groups=[group], use_threads=False)
        while True:
            with _explained():
                batch = next(batches, None)
            if batch is None:
                break
            unpacked.count(batch.num_rows * columns * CELL_BYTES)
            yield batch


def _rows(
    batch: pa.RecordBatch, first: int, keys: list[str], max_bytes: int, unpacked: UnpackedBytes
) -> Iterator[TableItem]:
    if all(column.null_count == batch.num_rows for column in batch.columns):
        yield EmptyRow(batch.num_rows)
        return
    with _explained():
        found = [cells_of(column, max_bytes) for column in batch.columns]
    for number, cells in enumerate(zip(*found, strict=True), start=first):
        size = sum(len(cell) for cell in cells if isinstance(cell, str))
        unpacked.count(size)
        if size > max_bytes:
            yield BadRow(number, "invalid_row", row_too_long(max_bytes), "row")
        elif all(map(is_blank, cells)):
            yield EmptyRow()
        else:
            yield _row(number, keys, cells)


def _row(number: int, keys: list[str], cells: tuple[Cell | CellFault, ...]) -> TableRow | BadRow:
    row: dict[str, Cell] = {}
    for key, cell in zip(keys, cells, strict=True):
        if isinstance(cell, CellFault):
            message = f"The cell in the column {quoted(key)} {cell}."
            return BadRow(number, "invalid_row", message, key)
        row[key] = cell
    return TableRow(number, row)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise damaged(PARQUET, error, REMEDY) from error
