"""Workbooks for tests: as a spreadsheet program writes them, or byte by byte."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def written(rows: Sequence[Sequence[Any]], **sheets: str) -> bytes:
    """A workbook with these rows in its first sheet; other sheets by their names and states."""
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows:
        sheet.append(list(row))
    for name, state in sheets.items():
        book.create_sheet(name).sheet_state = state
    return saved(book)


def saved(book: Any) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def links(**targets: str) -> str:
    rows = (
        f'<Relationship Id="{name}" Type="{KINDS}/{kind}" Target="{target}"/>'
        for name, (kind, _, target) in (
            (name, target.partition(" ")) for name, target in targets.items()
        )
    )
    return f'<Relationships xmlns="{LINKS}">{"".join(rows)}</Relationships>'


def parts_of(
    sheet: str | bytes, *, texts: str = "", formats: Sequence[str] = ()
) -> dict[str, str | bytes]:
    """The parts of a workbook with the XML of a sheet's rows, shared texts and number formats."""
    if isinstance(sheet, str):
        sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{sheet}</sheetData></worksheet>'
    numbers = "".join(
        f'<numFmt numFmtId="{n}" formatCode="{code}"/>' for n, code in enumerate(formats, 164)
    )
    styles = "".join(f'<xf numFmtId="{n}"/>' for n in (0, *range(164, 164 + len(formats))))
    return {
        "_rels/.rels": links(r="officeDocument xl/workbook.xml"),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{KINDS}"><sheets>'
            '<sheet name="One" sheetId="1" r:id="a"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": links(
            a="worksheet worksheets/sheet1.xml", b="sharedStrings sharedStrings.xml",
            c="styles /xl/styles.xml",
        ),
        "xl/worksheets/sheet1.xml": sheet,
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{texts}</sst>',
        "xl/styles.xml": (
            f'<styleSheet xmlns="{MAIN}"><numFmts>{numbers}</numFmts>'
            f'<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>{styles}</cellXfs>'
            "</styleSheet>"
        ),
    }  # fmt: skip


def zipped(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def sheet_of(sheet: str | bytes, **parts: Any) -> bytes:
    """A workbook with the XML of the rows of its only sheet."""
    return zipped(parts_of(sheet, **parts))
