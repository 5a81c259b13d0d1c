"""Results as CSV open in a spreadsheet and run nothing there."""

import csv
import io

import pytest

from batches.models import Prompt, Provider, Result
from batches.output.csv import csv_lines
from batches.output.result_tables import PLAIN
from tests.admin.makers import ended_batch


def rows_of(data: bytes) -> list[dict[str, str]]:
    text = data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_for_each_prompt_in_order(provider: Provider) -> None:
    batch = ended_batch(
        provider, ["a", "b", "c"], answers={0: 'He said "hi",\nthen left'}, failed={1: "no"}
    )
    data = b"".join(csv_lines(batch))
    rows = rows_of(data)
    assert [row["custom_id"] for row in rows] == ["line-1", "line-2", "line-3"]
    assert list(rows[0]) == list(PLAIN)
    assert rows[0]["answer"] == 'He said "hi",\nthen left'
    assert (rows[1]["status"], rows[1]["kind"], rows[1]["message"]) == ("failed", "server", "no")
    assert rows[2]["input_tokens"] == "3"


def test_times_are_told_to_the_microsecond(provider: Provider) -> None:
    batch = ended_batch(provider, ["a"], answers={0: "b"})
    Result.objects.filter(batch=batch).update(latency_s=0.006858630000351695, elapsed_s=12.0)
    [row] = rows_of(b"".join(csv_lines(batch)))
    assert (row["latency_s"], row["elapsed_s"]) == ("0.006859", "12.0")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\uff1d"])
def test_no_cell_is_a_formula(provider: Provider, first: str) -> None:
    text = f"{first}cmd|' /C calc'!A0"
    batch = ended_batch(provider, ["a", "b"], answers={0: text}, failed={1: text})
    Prompt.objects.filter(batch=batch, index=0).update(custom_id=text)
    rows = rows_of(b"".join(csv_lines(batch)))
    assert rows[0]["answer"] == rows[0]["custom_id"] == rows[1]["message"] == f"'{text}"
