"""Workbooks and Parquet files that are damaged, lie, or unpack to more than a machine has."""

import io
import struct
import zipfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.input_formats import InputFormat
from batches.inputs.table_files.reading import read_table
from batches.inputs.tables import BadRow
from tests.inputs.table_files import faults_of, items_of, parquet
from tests.inputs.workbooks import parts_of, sheet_of, written, zipped

HEADER = '<row><c t="str"><v>a</v></c></row>'
MEGABYTE = 1024 * 1024


def whole_file_fault(raw: bytes, form: InputFormat) -> str:
    [(number, message)] = faults_of(raw, form)
    assert number is None
    return message


# -- damaged

SAMPLES: dict[InputFormat, bytes] = {
    "xlsx": written([("a", "b"), *(("text", n) for n in range(50))]),
    "parquet": parquet(
        {"a": ["text", None] * 25, "b": range(50), "c": [[1, 2]] * 50, "d": [0.5] * 50},
        row_group_size=20,
    ),
}


@pytest.mark.parametrize("form", SAMPLES)
def test_a_truncated_file_is_refused_wherever_it_ends(form: InputFormat) -> None:
    raw = SAMPLES[form]
    for size in range(1, len(raw), max(len(raw) // 100, 1)):
        message = whole_file_fault(raw[:size], form)
        assert message.startswith(
            ("The Excel workbook (.xlsx) is", "The Parquet file is", "The file")
        )


@pytest.mark.parametrize("form", SAMPLES)
@given(data=st.data())
def test_a_damaged_file_is_a_table_or_an_error(form: InputFormat, data: st.DataObject) -> None:
    raw = bytearray(SAMPLES[form])
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    for item in items_of(bytes(raw), form):
        if isinstance(item, BadRow):
            assert item.message.endswith(".")
            assert len(item.message) < 1000


@pytest.mark.parametrize("form", SAMPLES)
@given(raw=st.binary(max_size=300))
def test_any_bytes_behind_the_right_beginning_are_an_error(form: InputFormat, raw: bytes) -> None:
    whole_file_fault(SAMPLES[form][:4] + raw, form)


@pytest.mark.parametrize(
    ("raw", "form", "message"),
    [
        (b"a,b\n1,2\n", "xlsx", "The file is not an Excel workbook (.xlsx): if it is text, give"),
        (b"a,b\n1,2\n", "parquet", "The file is not a Parquet file: if it is text, give it the"),
        (b"", "parquet", "The file is not a Parquet file"),
        (SAMPLES["parquet"], "xlsx", "The file is a Parquet file, not an Excel workbook (.xlsx): "),
        (SAMPLES["xlsx"], "parquet", "The file is an Excel workbook (.xlsx), not a Parquet file: "),
        (b"%PDF-1.7\n", "xlsx", "The file is a PDF document, not an Excel workbook (.xlsx): conv"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "xlsx", "The workbook is encrypted"),
        (b"PARE" + SAMPLES["parquet"][4:], "parquet", "The Parquet file is encrypted: write it"),
        (zipped({"a.txt": "x"}), "xlsx", "The Excel workbook (.xlsx) is damaged or truncated (it"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused_by_its_name(
    raw: bytes, form: InputFormat, message: str
) -> None:
    assert whole_file_fault(raw, form).startswith(message)


# -- workbooks


def flagged(raw: bytes) -> bytes:
    """The archive with all its parts marked as encrypted."""
    changed = bytearray(raw)
    place = changed.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + 8] |= 1
        place = changed.find(b"PK\x01\x02", place + 4)
    return bytes(changed)


def lying(raw: bytes, part: str, size: int) -> bytes:
    """The archive with another size of a part in its list."""
    changed = bytearray(raw)
    place = changed.find(b"PK\x01\x02")
    while not changed[place + 46 :].startswith(part.encode()):
        place = changed.find(b"PK\x01\x02", place + 4)
    struct.pack_into("<I", changed, place + 24, size)
    return bytes(changed)


def with_many_parts() -> bytes:
    parts = parts_of(HEADER)
    return zipped(
        {**parts, **{f"xl/media/{n:0100}": "" for n in range(10_000)}}, zipfile.ZIP_STORED
    )


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    f"<worksheet><sheetData>{HEADER}<row><c t='str'><v>&b;</v></c></row></sheetData></worksheet>"
)
SHEET = "xl/worksheets/sheet1.xml"
WORKBOOKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "entities": (lambda: sheet_of(ENTITIES.encode()), "it has a document type"),
    "depth": (lambda: sheet_of(HEADER + "<a>" * 200), "its elements are nested too deep"),
    "names": (lambda: sheet_of("".join(f"<a{n}/>" for n in range(20_000))), "too long or too many"),
    "attributes": (lambda: sheet_of(f"<a b='{'x' * 9 * MEGABYTE}'/>"), "its tags are too long or"),
    "not closed": (lambda: sheet_of(HEADER + "<row>"), "mismatched tag"),
    "rows backwards": (lambda: sheet_of('<row r="2"/><row r="1"/>'), "row 1 is out of order"),
    "row 0": (lambda: sheet_of('<row r="0"/>'), "row 0 is out of order"),
    "beyond all rows": (lambda: sheet_of('<row r="1048577"/>'), "row 1048577 is out of order"),
    "beyond all columns": (lambda: sheet_of('<row><c r="XFE1"/></row>'), "cell XFE1 is out of"),
    "cell twice": (lambda: sheet_of('<row><c r="A1"/><c r="A1"/></row>'), "cell A1 is out of"),
    "cell in a cell": (lambda: sheet_of("<row><c><c/></c></row>"), "cell None is out of order"),
    "cell alone": (lambda: sheet_of("<c/>"), "cell None is out of order"),
    "text that is not there": (
        lambda: sheet_of('<row><c t="s"><v>7</v></c></row>'), "a cell has the text 7 of 0"
    ),
    "no number": (lambda: sheet_of("<row><c><v>x</v></c></row>"), "a cell has the number x"),
    "encrypted": (lambda: flagged(sheet_of(HEADER)), "is encrypted or packed oddly"),
    "bzip2": (lambda: zipped(parts_of(HEADER), zipfile.ZIP_BZIP2), "is encrypted or packed oddly"),
    "longer than it says": (lambda: lying(sheet_of(HEADER), SHEET, 50), "is damaged or truncated"),
    "many parts": (with_many_parts, "The list of the parts of the workbook has more than 1,048,5"),
    "many texts": (
        lambda: lying(sheet_of(HEADER), "xl/sharedStrings.xml", 200 * MEGABYTE),
        "sharedStrings.xml of the workbook unpacks to 209,715,200 bytes. The most is 134,217,728",
    ),
    "a large sheet": (
        lambda: lying(sheet_of(HEADER), SHEET, 4_000_000_000), "unpacks to 4,000,000,000 bytes"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKBOOKS)
def test_a_hostile_workbook_is_refused_with_the_reason(name: str) -> None:
    make, reason = WORKBOOKS[name]
    message = whole_file_fault(make(), "xlsx")
    assert reason in message


# -- bombs


def texts_of_one_text() -> bytes:
    """A million cells with one text of 32 KB: 32 GB."""
    cells = '<c t="s"><v>0</v></c>' * 10
    rows = f"<row>{cells}</row>" * 100_000
    header = "".join(f'<c t="str"><v>{n}</v></c>' for n in range(10))
    return sheet_of(f"<row>{header}</row>{rows}", texts=f"<si><t>{'x' * 32_000}</t></si>")


def blanks_in_a_sheet() -> bytes:
    return sheet_of(HEADER + " " * 60 * MEGABYTE)


def many_cells() -> bytes:
    """Sixteen thousand empty cells in each row."""
    return sheet_of(HEADER + f"<row>{'<c/>' * 16_000}</row>" * 30)


def repeated(text: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(bytes(times), pa.uint8()), pa.array([text]))


def one_text_in_each_row() -> bytes:
    """A million rows with one text of a megabyte."""
    return parquet({"a": repeated("x" * MEGABYTE, 1_000_000)})


def a_page_of_a_long_text() -> bytes:
    column = pa.array(["x" * 200 * MEGABYTE])
    return parquet({"a": column}, compression="zstd", use_dictionary=False, write_statistics=False)


def long_texts_in_lists() -> bytes:
    offsets = pa.array(range(0, 1_000_001, 1000), pa.int32())
    column = pa.ListArray.from_arrays(offsets, repeated("x" * MEGABYTE, 1_000_000))
    return parquet({"a": column, "b": range(1000)})


def empty_rows() -> bytes:
    return parquet({"a": pa.nulls(4_000_000, pa.bool_())})


def long_lists() -> bytes:
    values = pa.array(bytes(33_000_000), pa.uint8())
    column = pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)
    return parquet({"a": column}, compression="zstd")


def beginnings() -> bytes:
    return parquet(
        {"a": [f"{'x' * 1000}{n}" for n in range(100)]},
        use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY"},
    )


BOMBS: dict[str, tuple[Callable[[], bytes], InputFormat, str]] = {
    "texts of one text": (texts_of_one_text, "xlsx", "unpacks to more than 500 times its"),
    "blanks in a sheet": (blanks_in_a_sheet, "xlsx", "bytes. The most is"),
    "many cells": (many_cells, "xlsx", ""),
    "one text in each row": (one_text_in_each_row, "parquet", "unpacks to more than 500 times its"),
    "a page of a long text": (a_page_of_a_long_text, "parquet", "The most is 134,217,728: write"),
    "long texts in lists": (long_texts_in_lists, "parquet", "is longer than 100000 bytes (MAX_LI"),
    "empty rows": (empty_rows, "parquet", "unpacks to more than 500 times its"),
    "long lists": (long_lists, "parquet", "have 33,000,000 values. The most is 32,000,000: write"),
    "beginnings": (beginnings, "parquet", "has texts in a delta encoding: write it again in the"),
}  # fmt: skip
# Reading a table takes far less, and each of these would take more than a machine has.
MOST_MEMORY = 400 * MEGABYTE


def peak() -> int:
    """Return the most memory that this process had since the last time."""
    [line] = [
        line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    ]
    Path("/proc/self/clear_refs").write_text("5")
    return int(line.split()[1]) * 1024


def read_alone(path: Path, form: InputFormat, sender: Any) -> None:
    """Send the last error of a file, and the memory that reading the file takes."""

    def read(stream: BinaryIO) -> str:
        message = ""
        for item in read_table(stream, form, columns=(), max_bytes=100_000):
            message = item.message if isinstance(item, BadRow) else message
        return message

    read(io.BytesIO(SAMPLES[form]))
    peak()
    before = peak()
    with path.open("rb") as stream:
        message = read(stream)
    sender.send((message, peak() - before))


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_little_memory(name: str, tmp_path: Path) -> None:
    make, form, reason = BOMBS[name]
    path = tmp_path / "bomb"
    path.write_bytes(make())
    assert path.stat().st_size < 20 * MEGABYTE
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=read_alone, args=(path, form, sender))
    process.start()
    sender.close()
    message, memory = receiver.recv()
    process.join()
    assert reason in message
    assert memory < MOST_MEMORY


# -- Parquet


def test_sizes_that_lie_in_the_headers_of_pages_are_refused_before_they_are_believed() -> None:
    texts = pa.array(["x" * 5 * MEGABYTE])
    columns = {"a": texts, "b": texts, "c": texts}
    raw = bytearray(parquet(columns, use_dictionary=False, write_statistics=False))
    metadata = pq.ParquetFile(io.BytesIO(raw)).metadata
    for number in range(3):
        place = metadata.row_group(0).column(number).data_page_offset
        assert raw[place : place + 3] == b"\x15\x00\x15"
        # The unpacked size is the second field; the largest number of as many bytes.
        assert raw[place + 6] < 128
        raw[place + 3 : place + 7] = b"\xfe\xff\xff\x7f"
    message = whole_file_fault(bytes(raw), "parquet")
    assert "The pages of row group 1 of the Parquet file unpack to 402,653,181 bytes" in message


def test_a_long_footer_is_refused_before_it_is_read() -> None:
    raw = SAMPLES["parquet"][:-8] + struct.pack("<I", 9 * MEGABYTE) + b"PAR1"
    assert "The footer of the Parquet file has 9,437,184 bytes" in whole_file_fault(raw, "parquet")
    raw = SAMPLES["parquet"][:-8] + struct.pack("<I", 8 * MEGABYTE) + b"PAR1"
    assert "its footer is longer than the file" in whole_file_fault(raw, "parquet")


def test_columns_that_are_nested_deep_are_refused() -> None:
    column = pa.array([1])
    for _ in range(40):
        column = pa.StructArray.from_arrays([column], ["a"])
    message = whole_file_fault(parquet({"a": column}), "parquet")
    assert "nested more than 32 levels deep" in message
