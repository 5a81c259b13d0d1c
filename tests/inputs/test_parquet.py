"""Parquet files: their cells by type, their types in the output, and what is wrong with them."""

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.inputs.table_files.arrow_types import array_of, cells_of, kept_type, type_of
from batches.inputs.tables import EmptyRow, TableHeader
from tests.inputs.table_files import faults_of, items_of, parquet, rows_of

MOMENT = datetime(2024, 1, 5, 12, 30, 0, 250_000)
# The values of a column, its type, and its cells.
COLUMNS: dict[str, tuple[list[Any], pa.DataType, list[Any]]] = {
    "text": (["a", "", None, "漢🎉\n"], pa.string(), ["a", "", None, "漢🎉\n"]),
    "large text": (["a", None], pa.large_string(), ["a", None]),
    "text view": (["a", None], pa.string_view(), ["a", None]),
    "boolean": ([True, False, None], pa.bool_(), [True, False, None]),
    "int8": ([-128, None], pa.int8(), [-128, None]),
    "uint64": ([2**64 - 1], pa.uint64(), [2**64 - 1]),
    "int64": ([-(2**63)], pa.int64(), [-(2**63)]),
    "double": ([0.1, 4.0, None, float("nan")], pa.float64(), [0.1, 4.0, None, None]),
    "float": ([0.1, None], pa.float32(), [0.1, None]),
    "half": ([0.5], pa.float16(), [0.5]),
    "null": ([None, None], pa.null(), [None, None]),
    "date": ([date(2024, 1, 5), None], pa.date32(), ["2024-01-05", None]),
    "date64": ([date(2024, 1, 5)], pa.date64(), ["2024-01-05"]),
    "time": ([time(12, 30)], pa.time64("us"), ["12:30:00"]),
    "part of a second": ([time(1, 2, 3, 500_000)], pa.time64("us"), ["01:02:03.500000"]),
    "time of ms": ([time(12, 30)], pa.time32("ms"), ["12:30:00"]),
    "moment": ([MOMENT, None], pa.timestamp("us"), ["2024-01-05T12:30:00.250000", None]),
    "moment of seconds": ([MOMENT], pa.timestamp("s"), ["2024-01-05T12:30:00"]),
    "moment of ns": ([MOMENT], pa.timestamp("ns"), ["2024-01-05T12:30:00.250000000"]),
    "moment in a zone": (
        [MOMENT.replace(tzinfo=ZoneInfo("Europe/Berlin"), microsecond=0)],
        pa.timestamp("us", tz="Europe/Berlin"),
        ["2024-01-05T11:30:00Z"],
    ),
    "decimal": ([Decimal("1.10"), None], pa.decimal128(10, 2), ["1.10", None]),
    "long decimal": ([Decimal("1" * 60)], pa.decimal256(70, 0), ["1" * 60]),
    "list": ([["a", None], [], None], pa.list_(pa.string()), ['["a", null]', "[]", None]),
    "list of lists": ([[[1], None, []]], pa.list_(pa.list_(pa.int64())), ["[[1], null, []]"]),
    "list of three": ([[1, 2, 3], None], pa.list_(pa.int64(), 3), ["[1, 2, 3]", None]),
    "struct": (
        [{"a": "x", "b": [MOMENT]}, None],
        pa.struct({"a": pa.string(), "b": pa.list_(pa.timestamp("us"))}),
        ['{"a": "x", "b": ["2024-01-05T12:30:00.250000"]}', None],
    ),
    "map": (
        [[("k", 1), ("l", None)], []],
        pa.map_(pa.string(), pa.int64()),
        ['{"k": 1, "l": null}', "{}"],
    ),
    "dictionary": (["a", "b", None], pa.dictionary(pa.int8(), pa.string()), ["a", "b", None]),
}  # fmt: skip


@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
@pytest.mark.parametrize("version", ["1.0", "2.6"])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_has_the_cells_that_json_has_for_its_type(
    name: str, version: str, compression: str
) -> None:
    values, kind, cells = COLUMNS[name]
    column = pa.array(values, kind)
    # A row without any value would be left out.
    raw = parquet(
        {"c": column, "n": range(len(values))},
        version=version,
        compression=compression,
        coerce_timestamps=None if version == "2.6" or kind != pa.timestamp("ns") else "us",
        data_page_version="2.0" if version == "2.6" else "1.0",
    )
    read = [row["c"] for row in rows_of(raw, "parquet")]
    if kind == pa.timestamp("ns") and version == "1.0":
        cells = ["2024-01-05T12:30:00.250000"]
    assert read == cells
    assert [*map(type, read)] == [*map(type, cells)]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_keeps_its_type_and_values_in_the_output(name: str) -> None:
    values, kind, cells = COLUMNS[name]
    kept = type_of(kept_type(kind))
    stored = json.loads(json.dumps(list(cells_of(pa.array(values, kind), 1000))))
    column = array_of(stored, kept)
    is_nested = name in {"list", "list of lists", "list of three", "struct", "map"}
    if is_nested or kind in (pa.null(), pa.large_string(), pa.string_view()):
        assert column.to_pylist() == cells
    elif name == "double":
        assert column.to_pylist() == [0.1, 4.0, None, None]
    else:
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        assert column.equals(pa.array(values, plain))


SCALARS = st.sampled_from(
    [
        (pa.string(), st.text(st.characters(exclude_categories=["Cs"]))),
        (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
        (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
        (pa.float32(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
        (pa.bool_(), st.booleans()),
        (pa.timestamp("us"), st.datetimes()),
        (pa.timestamp("us", tz="Asia/Tokyo"), st.datetimes()),
        (pa.date32(), st.dates()),
        (pa.time64("us"), st.times()),
        (pa.decimal128(20, 5), st.decimals(-(10**10), 10**10, places=5)),
    ]
)  # fmt: skip


@given(SCALARS.flatmap(lambda s: st.tuples(st.just(s[0]), st.lists(st.none() | s[1], max_size=9))))
def test_every_value_comes_back(column: tuple[pa.DataType, list[Any]]) -> None:
    kind, values = column
    array = pa.array(values, kind)
    raw = parquet({"c": array, "n": pa.array(range(len(values)), pa.int64())}, version="2.6")
    header = items_of(raw, "parquet")[0]
    assert isinstance(header, TableHeader)
    cells = json.loads(json.dumps([row["c"] for row in rows_of(raw, "parquet")]))
    assert array_of(cells, type_of(header.types[0])).equals(array)


def test_rows_are_numbered_over_row_groups_and_batches() -> None:
    count = 5_500
    raw = parquet({"n": [None if n % 1000 == 7 else n for n in range(count)]}, row_group_size=2_100)
    items = items_of(raw, "parquet")
    assert len(items) == 1 + count
    numbers = [getattr(item, "number", None) for item in items[1:]]
    assert [n for n in numbers if n] == [n + 1 for n in range(count) if n % 1000 != 7]
    assert items[8] == EmptyRow()


FAULTS: dict[str, tuple[Any, int | None, str]] = {
    "infinite": (pa.array([1.0, float("-inf")]), 2, "The cell in the column 'c' has an infinite"),
    "bytes": (pa.array([b"x"]), None, "The column 'c' holds bytes (binary), in every row from"),
    "bytes in lists": (pa.array([[b"x"]]), None, "The column 'c' holds bytes (binary)"),
    "few bytes": (pa.array([b"x"], pa.binary(1)), None, "The column 'c' holds bytes (fixed_size"),
    "duration": (
        pa.array([timedelta(1)]),
        None,
        "The column 'c' has the type duration[us], which is not supported: leave the column out",
    ),
    "long": (pa.array(["a", "x" * 100_001]), 2, "The row is longer than 100000 bytes (MAX_LINE"),
    "long list": (
        pa.array([["x" * 1000] * 101]),
        1,
        "The cell in the column 'c' is longer than 100000 bytes",
    ),
    "no UTF-8": (
        pa.Array.from_buffers(
            pa.string(),
            2,
            [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")],
        ),
        2,
        "The cell in the column 'c' has bytes that are not UTF-8",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_error_names_row_and_column(name: str) -> None:
    column, number, message = FAULTS[name]
    [(at, fault)] = faults_of(parquet({"c": column, "d": ["x"] * len(column)}), "parquet")
    assert at == number
    assert fault.startswith(message)


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        ({"a": [1]}, ["c"], "There is no column 'c'. The header names 'a'."),
        ({"a": [1], " a": [1]}, [], "The header names 'a' more than once, in columns 1 and 2."),
        ({}, [], "The file is empty, or has no header"),
    ],
)
def test_the_error_of_the_columns_has_no_row(
    columns: dict[str, Any], wanted: list[str], message: str
) -> None:
    [(number, fault)] = faults_of(parquet(columns), "parquet", columns=wanted)
    assert number is None
    assert fault.startswith(message)
