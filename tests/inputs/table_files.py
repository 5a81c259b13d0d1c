"""Read tables that are not text, in short."""

import io
from collections.abc import Collection
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batches.inputs.input_formats import InputFormat
from batches.inputs.table_files.reading import read_table
from batches.inputs.tables import BadRow, TableItem, TableRow

MAX_BYTES = 100_000


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    """A Parquet file with these columns."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


def items_of(
    raw: bytes, form: InputFormat, *, columns: Collection[str] = (), max_bytes: int = MAX_BYTES
) -> list[TableItem]:
    return list(read_table(io.BytesIO(raw), form, columns=columns, max_bytes=max_bytes))


def rows_of(raw: bytes, form: InputFormat) -> list[dict[str, Any]]:
    """The cells of each row; no row is refused."""
    items = items_of(raw, form)
    assert not [item for item in items if isinstance(item, BadRow)]
    return [item.cells for item in items if isinstance(item, TableRow)]


def faults_of(raw: bytes, form: InputFormat, **options: Any) -> list[tuple[int | None, str]]:
    items = items_of(raw, form, **options)
    return [(item.number, item.message) for item in items if isinstance(item, BadRow)]
