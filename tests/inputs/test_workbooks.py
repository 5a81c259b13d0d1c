"""Excel workbooks: their cells by type, their rows by number, and what is wrong with them."""

import io
import zipfile
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.table_files.number_formats import date_text, kind_of_format
from batches.inputs.tables import EmptyRow, TableHeader, TableRow
from tests.inputs.table_files import faults_of, items_of, rows_of
from tests.inputs.workbooks import parts_of, saved, sheet_of, written, zipped

# What XML can hold, without the line ends that a spreadsheet changes.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
).filter(lambda text: not text.startswith("=") and "_x" not in text)
# The other library writes 16 digits.
NUMBERS = st.integers(-(10**15), 10**15) | st.integers(-(10**9), 10**9).map(lambda n: n / 1000)
CELLS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none())


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8))
def test_cells_are_read_as_they_were_written(rows: list[tuple[Any, ...]]) -> None:
    read = rows_of(written([("a", "b", "c"), *rows]), "xlsx")
    expected = [
        {name: "" if cell is None else cell for name, cell in zip("abc", row, strict=True)}
        for row in rows
        if any(cell is not None and str(cell).strip() for cell in row)
    ]
    assert read == expected
    for cells in read:
        for cell in cells.values():
            assert not (isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (date(2024, 1, 5), "2024-01-05"),
        (datetime(2024, 1, 5), "2024-01-05T00:00:00"),
        (datetime(2024, 1, 5, 12, 30), "2024-01-05T12:30:00"),
        (datetime(2024, 1, 5, 12, 30, 0, 250_000), "2024-01-05T12:30:00.250"),
        (time(12, 30), "12:30:00"),
        (timedelta(hours=27, minutes=30), "27:30:00"),
        (4.0, 4),
        (4.5, 4.5),
        (-0.1, -0.1),
        (True, True),
        ("#N/A", "#N/A"),
        ("#DIV/0!", "#DIV/0!"),
        ("a\tb\nc", "a\tb\nc"),
        ("🎉", "🎉"),
    ],
)
def test_a_cell_has_the_type_that_json_has_for_it(cell: Any, expected: Any) -> None:
    [row] = rows_of(written([("a", "b"), (cell, "x")]), "xlsx")
    assert row["a"] == expected
    assert type(row["a"]) is type(expected)


RAW_CELLS = {
    '<c t="s"><v>0</v></c>': "shared",
    '<c t="s"><v>1</v></c>': "rich text",
    '<c t="s"><v>2</v></c>': "漢字",
    '<c t="inlineStr"><is><t>in</t><r><t>line</t></r></is></c>': "inline",
    '<c t="str"><f>A1&amp;"x"</f><v>formula</v></c>': "formula",
    '<c t="str"><f>""</f><v></v></c>': "",
    "<c><f>1+1</f><v>2</v></c>": 2,
    '<c t="e"><f>1/0</f><v>#DIV/0!</v></c>': "#DIV/0!",
    '<c t="b"><v>1</v></c>': True,
    '<c t="b"><v>0</v></c>': False,
    '<c t="d"><v>2024-01-05</v></c>': "2024-01-05",
    "<c><v>4.0</v></c>": 4,
    "<c><v> 7 </v></c>": 7,
    "<c><v>12345678901234567</v></c>": 12345678901234567,
    "<c><v>1E+3</v></c>": 1000,
    "<c><v>1E+300</v></c>": 1e300,
    '<c s="1"><v>45296</v></c>': "2024-01-05",
    '<c s="99"><v>45296</v></c>': 45296,
    '<c s="1"><v>-5</v></c>': -5,
    '<c s="1"><v>99999999</v></c>': 99999999,
    "<c/>": "",
    "<c><v></v></c>": "",
    '<c t="str"><v>a_x000D_b_x005F_x</v></c>': "a\rb_x",
    '<c t="str"><v><![CDATA[<b>]]></v></c>': "<b>",
}
SHARED = (
    "<si><t>shared</t></si><si><r><t>rich</t></r><r><t xml:space='preserve'> text</t></r></si>"
    "<si><t>漢字</t><rPh sb='0' eb='2'><t>かんじ</t></rPh></si>"
)


@pytest.mark.parametrize("cell", RAW_CELLS)
def test_a_cell_is_read_in_every_form_that_the_format_has(cell: str) -> None:
    header = '<row><c t="str"><v>a</v></c><c t="str"><v>b</v></c></row>'
    row = f"<row>{cell}<c><v>1</v></c></row>"
    [read] = rows_of(sheet_of(header + row, texts=SHARED, formats=["yyyy-mm-dd"]), "xlsx")
    assert read == {"a": RAW_CELLS[cell], "b": 1}
    assert type(read["a"]) is type(RAW_CELLS[cell])


def test_prefixes_and_strict_workbooks_are_read_alike() -> None:
    sheet = (
        '<x:worksheet xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"><x:sheetData>'
        '<x:row r="1"><x:c r="A1" t="str"><x:v>a</x:v></x:c></x:row>'
        '<x:row r="2"><x:c r="A2" t="str"><x:v>b</x:v></x:c></x:row>'
        "</x:sheetData></x:worksheet>"
    )
    assert rows_of(sheet_of(sheet.encode()), "xlsx") == [{"a": "b"}]
    assert rows_of(sheet_of(sheet.encode("utf-16")), "xlsx") == [{"a": "b"}]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("General", ""),
        ("0.00", ""),
        ("#,##0.00 [$€-407];[Red]-#,##0.00", ""),
        ('0 "days"', ""),
        (r"0\d", ""),
        ("0.00E+00", ""),
        ("@", ""),
        ("yyyy-mm-dd", "date"),
        ("[$-409]d-mmm-yy;@", "date"),
        ("mmm yyyy", "date"),
        ("m/d/yy h:mm", "datetime"),
        ("h:mm AM/PM", "time"),
        ("mm:ss.0", "time"),
        ("[h]:mm:ss", "elapsed"),
        ("[mm]:ss", "elapsed"),
    ],
)
def test_a_number_format_tells_whether_a_number_is_a_date(code: str, kind: str) -> None:
    assert kind_of_format(code) == kind


@pytest.mark.parametrize(
    ("number", "first_year", "expected"),
    [
        (1, 1900, "1900-01-01"),
        (59, 1900, "1900-02-28"),
        (61, 1900, "1900-03-01"),
        (0, 1904, "1904-01-01"),
        (2_958_465, 1900, "9999-12-31"),
        (45296.999999999, 1900, "2024-01-06"),
    ],
)
def test_a_date_is_counted_as_the_spreadsheet_does(
    number: float, first_year: int, expected: str
) -> None:
    assert date_text(number, "date", is_1904=first_year == 1904) == expected


@given(st.floats(0, 2_958_465))
def test_a_date_is_the_same_as_in_another_library(number: float) -> None:
    from openpyxl.utils.datetime import from_excel

    if number >= 61:
        ours = datetime.fromisoformat(date_text(number, "datetime", is_1904=False) or "")
        assert abs(ours - from_excel(number)) <= timedelta(seconds=1)


def test_rows_are_numbered_below_the_header_and_empty_ones_are_counted() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet["B3"], sheet["C3"] = "a", 2024
    sheet["B7"], sheet["C9"] = "x", 5
    sheet["C1000"] = " "
    items = items_of(saved(book), "xlsx")
    assert items == [
        TableHeader(("", "a", "2024")),
        EmptyRow(3),
        TableRow(4, {"": "", "a": "x", "2024": ""}),
        EmptyRow(1),
        TableRow(6, {"": "", "a": "", "2024": 5}),
    ]


def test_a_cell_in_the_last_corner_costs_nothing() -> None:
    book = openpyxl.Workbook()
    book.active["A1"], book.active["A2"] = "a", "x"
    book.active["A1048576"], book.active["XFD1048576"] = "y", "z"
    items = items_of(saved(book), "xlsx")
    assert items[:3] == [TableHeader(("a",)), TableRow(1, {"a": "x"}), EmptyRow(1_048_573)]
    [(number, message)] = faults_of(saved(book), "xlsx")
    assert number == 1_048_575
    assert message.startswith("The cell XFD1048576 has no column: the header names 1.")


def test_the_first_sheet_that_is_shown_is_read_with_a_doubt_if_there_are_more() -> None:
    book = openpyxl.Workbook()
    book.active.title, book.active.sheet_state = "Lists", "hidden"
    for name in ("Reviews", "More"):
        book.create_sheet(name).append([name])
    header = items_of(saved(book), "xlsx")[0]
    assert isinstance(header, TableHeader)
    assert header.names == ("Reviews",)
    assert "The workbook has 2 sheets. The first of them, 'Reviews', was read" in header.doubt
    [header] = items_of(written([("a",)], Lists="veryHidden"), "xlsx")
    assert isinstance(header, TableHeader)
    assert not header.doubt


HEADER = '<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>b</v></c></row>'
FAULTS = {
    "formula": ('<row r="3"><c r="B3"><f>1</f></c></row>', 2, "The cell B3 has a formula without"),
    "beyond": ('<row r="2"><c r="D2"><v>1</v></c></row>', 1, "The cell D2 has no column"),
    "infinite": ('<row r="2"><c r="A2"><v>1e999</v></c></row>', 1, "The cell A2 has a number that"),
    "long": (
        f'<row r="2"><c r="A2" t="str"><v>{"x" * 100_001}</v></c></row>',
        1,
        "The row is longer than 100000 bytes (MAX_LINE_BYTES).",
    ),
    "long of shared texts": (
        '<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>0</v></c></row>',
        1,
        "The row is longer than",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_error_of_a_row_names_row_and_cell_and_the_others_are_read(name: str) -> None:
    row, number, message = FAULTS[name]
    last = '<row r="9"><c r="A9"><v>9</v></c></row>'
    raw = sheet_of(HEADER + row + last, texts=f"<si><t>{'x' * 60_000}</t></si>")
    [(at, fault)] = faults_of(raw, "xlsx")
    assert at == number
    assert fault.startswith(message)
    assert items_of(raw, "xlsx")[-1] == TableRow(8, {"a": 9, "b": ""})


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a", "b")], ["c"], "There is no column 'c'. The header names 'a', 'b'."),
        ([("a", "b", "a ")], [], "The header names 'a' more than once, in columns 1 and 3."),
        ([], [], "The file is empty, or has no header: its first line must name the columns."),
        ([("=1+1", "b")], [], "The header cannot be read. The cell A1 has a formula without"),
    ],
)
def test_the_error_of_a_header_has_no_row(
    rows: list[tuple[str, ...]], columns: list[str], message: str
) -> None:
    [(number, fault)] = faults_of(written(rows), "xlsx", columns=columns)
    assert number is None
    assert fault.startswith(message)


def test_names_of_parts_are_found_in_any_writing_and_none_is_unpacked_to_disk() -> None:
    parts = parts_of(HEADER + '<row><c t="str"><v>x</v></c></row>')
    parts = {name.replace("xl/styles", "XL\\Styles"): part for name, part in parts.items()}
    parts["../../outside.xml"] = parts["/etc/passwd"] = "<x/>"
    assert rows_of(zipped(parts), "xlsx") == [{"a": "x", "b": ""}]


def test_a_workbook_may_lie_behind_other_bytes() -> None:
    # As in an archive that unpacks itself; the beginning is the same.
    raw = written([("a",), ("x",)])
    file = io.BytesIO(b"PK\x03\x04 a page before the archive " + raw)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist()
    assert rows_of(file.getvalue(), "xlsx") == [{"a": "x"}]
