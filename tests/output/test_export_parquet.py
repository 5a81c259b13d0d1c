"""Results as Parquet: the table of the CSV with types, and a Parquet input in every cell."""

import csv
import io
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batches.engine.prepare import with_response_schema
from batches.errors import NotPossible
from batches.models import Batch, Provider, Result
from batches.output.csv import csv_lines
from batches.output.parquet import parquet_pieces
from tests.admin.makers import ended_batch
from tests.makers import MODEL
from tests.output.test_result_tables import ran, table_of

pytestmark = pytest.mark.django_db

RESULTS = {
    "answer": pa.string(),
    "status": pa.string(),
    "kind": pa.string(),
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "cost": pa.float64(),
    "latency_s": pa.float64(),
}


def written(batch: Batch, **options: Any) -> pa.Table:
    file = io.BytesIO()
    file.writelines(parquet_pieces(batch, **options))
    return pq.read_table(file)


def test_a_parquet_input_comes_back_in_every_column(provider: Provider) -> None:
    table = pa.table(
        {
            "id": pa.array([1, None, 3], pa.uint64()),
            "text": ["a", "", None],
            "when": pa.array([datetime(2024, 1, 5, 12), None, None], pa.timestamp("ns")),
            "zoned": pa.array([0, 1, None], pa.timestamp("us", tz="Europe/Berlin")),
            "day": [date(2024, 1, 5), None, date(1969, 12, 31)],
            "price": pa.array([Decimal("1.10"), None, Decimal("-0.05")], pa.decimal128(12, 2)),
            "share": pa.array([0.1, None, 4.0], pa.float32()),
            "exact": [0.123456789012, None, 1e300],
            "ok": [True, False, None],
            "tags": [["a"], [], None],
        }
    )  # fmt: skip
    file = io.BytesIO()
    pq.write_table(table, file)
    batch = ran(provider, file.getvalue(), "{{ id }} {{ text }} {{ when }}", form="parquet")
    result = written(batch)
    for name in table.column_names:
        if name != "tags":
            assert result.column(name).equals(table.column(name)), name
    assert result.column("tags").to_pylist() == ['["a"]', "[]", None]
    added = dict(zip(result.schema.names[10:], result.schema.types[10:], strict=True))
    assert added == RESULTS
    assert set(result.column("status").to_pylist()) == {"succeeded"}
    assert all(result.column("answer").to_pylist())


@pytest.mark.parametrize(
    ("form", "text"),
    [("csv", "id,,name,\n1,x,,y\n=2,,b,\n"), ("jsonl", '{"id": 1, "name": null}\n{"id": true}\n')],
)
def test_other_inputs_come_back_as_the_texts_of_the_csv(
    provider: Provider, form: str, text: str
) -> None:
    batch = ran(provider, text, "{{ id }}", form=form)
    Result.objects.filter(batch=batch).update(latency_s=0.25)
    header, *rows = table_of(batch)
    table = written(batch)
    count = len(header) - len(RESULTS)
    assert table.schema.types == [pa.string()] * count + list(RESULTS.values())
    for number, name in enumerate(header):
        values = table.column(number).to_pylist()
        expected = [row[number] for row in rows]
        assert table.schema.names[number] == name or not name
        assert ["" if value is None else str(value) for value in values] == expected
    assert len(set(table.schema.names)) == len(header)


def test_the_fields_of_answers_have_the_types_of_their_schema(provider: Provider) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "n": {"type": "integer"},
            "x": {"type": ["number", "null"]},
            "ok": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "any": {},
        },
    }
    defaults = with_response_schema(
        {"model": MODEL}, endpoint="/v1/chat/completions", schema=schema
    )
    batch = ran(provider, "a\nx\ny\n", defaults=defaults)
    parsed = {"name": "a", "n": 5, "x": 1, "ok": True, "tags": ["t"], "any": {"b": 1}}
    first = Result.objects.filter(batch=batch, index=0)
    first.update(parsed=json.dumps(parsed), status="succeeded")
    Result.objects.filter(batch=batch, index=1).update(status="failed", kind="server")
    table = written(batch)
    fields = table.select(list(parsed))
    assert [str(kind) for kind in fields.schema.types] == [
        *("string", "int64", "double", "bool", "string", "string")
    ]
    good, bad = fields.to_pylist()
    assert list(good.values()) == ["a", 5, 1.0, True, '["t"]', '{"b": 1}']
    assert set(bad.values()) == {None}
    assert written(batch, failed=True).column("a").to_pylist() == ["y"]
    assert written(batch, failed=False).column("a").to_pylist() == ["x"]
    first.update(parsed=json.dumps({**parsed, "n": 2**70}))
    with pytest.raises(NotPossible, match="The column 'n' has a value that does not fit its type"):
        written(batch)


def test_without_a_template_the_columns_are_those_of_the_csv(provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b"], answers={0: "x"}, failed={1: "no"})
    Result.objects.filter(batch=batch).update(latency_s=0.5, elapsed_s=0.75)
    text = b"".join(csv_lines(batch)).decode("utf-8-sig")
    for row, ours in zip(
        csv.DictReader(io.StringIO(text, newline="")), written(batch).to_pylist(), strict=True
    ):
        assert {name: "" if cell is None else str(cell) for name, cell in ours.items()} == row


def test_row_groups_are_bounded_and_in_the_order_of_the_input(provider: Provider) -> None:
    batch = ran(provider, "a\n" + "".join(f"{n}\n" for n in range(25)))
    file = io.BytesIO()
    file.writelines(parquet_pieces(batch, group_rows=10))
    parquet = pq.ParquetFile(file)
    assert [parquet.metadata.row_group(n).num_rows for n in range(3)] == [10, 10, 5]
    assert parquet.read().column("a").to_pylist() == [str(n) for n in range(25)]
