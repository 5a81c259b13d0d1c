"""Read the first sheet of an Excel workbook as a table: a header, then rows."""

from collections.abc import Collection, Iterator
from typing import BinaryIO

from batches.engine.text.wording import quoted
from batches.inputs.table_files.archive import Archive
from batches.inputs.table_files.bounds import CELL_BYTES, UnpackedBytes
from batches.inputs.table_files.sheet import SheetReader, SheetRow, cell_name
from batches.inputs.table_files.workbook_parts import Workbook, read_workbook
from batches.inputs.table_files.xml_parts import parsed
from batches.inputs.tables import (
    BadRow,
    Cell,
    EmptyRow,
    TableHeader,
    TableItem,
    TableRow,
    cell_text,
    column_keys,
    header_fault,
    is_blank,
)
from batches.inputs.text_lines import MOST_TIMES_UNPACKED, SMALL_BYTES


def workbook_rows(
    file: BinaryIO, *, columns: Collection[str], max_bytes: int
) -> Iterator[TableItem]:
    """Yield the header and the rows of the first sheet that is shown. Raise UnreadableFile.

    Rows are numbered from 1 below the header, as in CSV.
    """
    archive = Archive(file)
    workbook = read_workbook(archive)
    rows = _written(archive, workbook, max_bytes)
    header = next(rows, None)
    if header is not None and header.fault:
        yield BadRow(None, "invalid_file", f"The header cannot be read. {header.fault}", "column")
        return
    names = _names(header)
    if fault := header_fault(names, columns):
        yield fault
        return
    yield TableHeader(tuple(names), doubt=_doubt(workbook))
    keys = column_keys(names)
    above = last = header.number if header else 0
    for row in rows:
        if row.number > last + 1:
            yield EmptyRow(row.number - last - 1)
        last = row.number
        yield _table_row(row, row.number - above, keys)


def _written(archive: Archive, workbook: Workbook, max_bytes: int) -> Iterator[SheetRow]:
    """Yield the rows that have any text, within the bounds of the whole."""
    reader = SheetReader(workbook, max_bytes)
    most = max(SMALL_BYTES, archive.size * MOST_TIMES_UNPACKED)
    unpacked = UnpackedBytes("workbook", archive.size)
    for _ in parsed(archive.pieces(workbook.sheet.part, most=most), reader):
        for row in reader.taken():
            cells = row.cells.values()
            unpacked.count(sum(len(c) if isinstance(c, str) else CELL_BYTES for c in cells))
            if row.fault or not all(map(is_blank, cells)):
                yield row


def _names(header: SheetRow | None) -> list[str]:
    cells = header.cells if header else {}
    width = max((column for column, cell in cells.items() if not is_blank(cell)), default=-1) + 1
    return [cell_text(cells.get(column, "")) for column in range(width)]


def _table_row(row: SheetRow, number: int, keys: list[str]) -> TableRow | BadRow:
    if row.fault:
        return BadRow(number, "invalid_row", row.fault, "row")
    beyond = [column for column in row.cells if column >= len(keys)]
    for column in beyond:
        if not is_blank(row.cells[column]):
            message = (
                f"The cell {cell_name(row.number, column)} has no column: the header names "
                f"{len(keys)}. Name its column in the header, or clear the cell."
            )
            return BadRow(number, "invalid_row", message, "row")
    cells: dict[str, Cell] = dict.fromkeys(keys, "")
    for column, cell in row.cells.items():
        if column < len(keys):
            cells[keys[column]] = cell
    return TableRow(number, cells)


def _doubt(workbook: Workbook) -> str:
    shown = [sheet for sheet in workbook.sheets if sheet.is_shown]
    if len(shown) < 2:
        return ""
    return (
        f"The workbook has {len(shown)} sheets. The first of them, {quoted(workbook.sheet.name)}, "
        "was read: move another sheet to the first place to read that."
    )
