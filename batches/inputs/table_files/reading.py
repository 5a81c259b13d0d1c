"""Read a table of any format that is not text, and let its stream end the reading at any time."""

from collections.abc import Collection, Generator, Iterator
from typing import BinaryIO

from batches.extras import is_installed, remedy
from batches.inputs.file_kinds import table_file_fault
from batches.inputs.input_formats import InputFormat
from batches.inputs.table_files.random_access import random_access
from batches.inputs.tables import BadRow, TableItem
from batches.inputs.text_lines import HEAD_BYTES, UnreadableFile

# A stream is asked after this number of rows.
ROWS_BETWEEN_LOOKS = 256


def read_table(
    stream: BinaryIO, form: InputFormat, *, columns: Collection[str], max_bytes: int
) -> Generator[TableItem]:
    """Yield the header and the rows of a table with these columns, as `read_rows` does for text.

    The error of a file that cannot be read, or not further, is a BadRow without a number.
    """
    try:
        with random_access(stream) as file:
            if fault := table_file_fault(file.read(HEAD_BYTES), form):
                raise UnreadableFile(fault)
            rows = _rows(file, form, columns, max_bytes)
            for number, row in enumerate(rows):
                if number % ROWS_BETWEEN_LOOKS == 0:
                    # The rows may come from a copy: a stream that is to stop raises here.
                    stream.read(0)
                yield row
    except UnreadableFile as error:
        yield BadRow(None, error.code, error.message)


def _rows(
    file: BinaryIO, form: InputFormat, columns: Collection[str], max_bytes: int
) -> Iterator[TableItem]:
    if form == "xlsx":
        from batches.inputs.table_files.workbooks import workbook_rows  # noqa: PLC0415 - XML

        return workbook_rows(file, columns=columns, max_bytes=max_bytes)
    if not is_installed("tables"):
        raise UnreadableFile(f"This server cannot read Parquet; {remedy('tables')}")
    # Arrow is large: a process that reads no Parquet does not load it.
    from batches.inputs.table_files.parquet import parquet_rows  # noqa: PLC0415 - takes long

    return parquet_rows(file, columns=columns, max_bytes=max_bytes)
