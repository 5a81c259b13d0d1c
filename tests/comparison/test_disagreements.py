"""Rows that disagree are found page by page and shown side by side, and all rows are written."""

import csv
import io
from typing import Any

import pytest

from batches.comparison import disagreements
from batches.comparison.comparison_csv import comparison_lines
from batches.comparison.disagreements import RowsFound, rows_side_by_side, side_by_side
from batches.models import Batch, Provider
from tests.comparison.makers import OPEN, answered_batch, paired_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair(provider: Provider) -> list[Batch]:
    """Two batches that disagree on the label of each third row."""
    rows = {f"r{n}": {"true": "a"} for n in range(12)}
    return [
        answered_batch(provider, {key: {"label": "a", "score": 1} for key in rows}, rows=rows),
        answered_batch(provider, {key: {"label": "ab"[n % 3 == 0]} for n, key in enumerate(rows)}),
    ]


def found(batches: list[Batch], **given: Any) -> RowsFound:
    return rows_side_by_side(batches, **{"after": -1, "limit": 2, **given})


def test_pages_have_the_rows_that_disagree(provider: Provider) -> None:
    first = answered_batch(provider, {f"r{n}": {"label": "a"} for n in range(12)})
    second = answered_batch(
        provider, {f"r{n}": {"label": "b" if n % 3 == 0 else "a"} for n in range(12)}
    )
    batches, ids, after = [first, second], [], -1
    for _ in range(3):
        page = found(batches, after=after)
        ids.append([row.custom_id for row in page.rows])
        if page.through is None:
            break
        after = page.through
    assert ids == [["r0", "r3"], ["r6", "r9"], []]
    everything = found(batches, limit=100, with_all=True)
    assert len(everything.rows) == everything.looked_at == 12
    assert [row.agrees for row in everything.rows[:4]] == [False, True, True, False]


def test_a_search_goes_on_where_the_last_one_ended(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disagreements, "MOST_LOOKED_AT", 5)
    batch = answered_batch(provider, {f"r{n}": {"label": "a"} for n in range(12)})
    throughs, after = [], -1
    while True:
        page = found([batch, batch], after=after)
        throughs.append(page.through)
        if page.through is None:
            break
        after = page.through
    assert throughs == [4, 9, None]


def test_rows_that_a_batch_lacks_do_not_disagree(provider: Provider) -> None:
    first = answered_batch(provider, {"a": {"label": "x"}, "b": {"label": "x"}})
    second = answered_batch(provider, {"a": OPEN, "c": {"label": "y"}})
    assert found([first, second]).rows == []
    shown = found([first, second], with_all=True).rows
    assert [[pieces[-1].text for pieces in row.fields[0].values] for row in shown] == [
        ["x", "(no result yet)"],
        ["x", "(not in this batch)"],
    ]


def test_fields_that_differ_come_first_with_their_words(pair: list[Batch]) -> None:
    row = found(pair, truths={"label": "true"}).rows[0]
    assert row.indexes == [0, 0]
    label, score = row.fields
    assert (label.name, label.truth, label.is_same) == ("label", "a", False)
    assert [(one.mark, one.text) for one in label.values[1]] == [("removed", "a"), ("added", "b")]
    assert (score.name, score.truth, score.values[1][-1].text) == ("score", None, "(no such field)")


def test_a_failure_is_shown_instead_of_an_answer() -> None:
    row = side_by_side(paired_row([{"a": "x"}, "server"]), {})
    assert [one.text for one in row.fields[0].values[1] if one.mark == "added"] == [
        "(failed: server)"
    ]
    both = side_by_side(paired_row(["server", "timeout"]), {})
    assert both.agrees
    assert both.fields[0].values[0][0].text == "(failed: server)"


def test_late_texts_are_shown_without_differences() -> None:
    row = side_by_side(paired_row([{"a": "x y"}, {"a": "x z"}]), {}, diff_until=0.0)
    assert [one.text for one in row.fields[0].values[1]] == ["x z"]


def test_all_rows_are_written_with_fields_by_batch(provider: Provider) -> None:
    rows = {key: {"true": "=cmd()"} for key in ("a", "b", "c", "=d")}
    first = answered_batch(provider, {key: {"label": "x", "score": 1} for key in rows}, rows=rows)
    second = answered_batch(
        provider,
        {"a": {"label": "=1+1", "score": 1}, "b": {"label": "x", "score": 1.0}, "c": OPEN},
    )
    text = b"".join(comparison_lines([first, second], truths={"label": "true"})).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == [
        [
            *("custom_id", "agree", "truth_label", "status_1", "label_1", "score_1"),
            *("status_2", "label_2", "score_2"),
        ],
        ["a", "no", "'=cmd()", "succeeded", "x", "1", "succeeded", "'=1+1", "1"],
        ["b", "yes", "'=cmd()", "succeeded", "x", "1", "succeeded", "x", "1.0"],
        ["c", "", "'=cmd()", "succeeded", "x", "1", "no result yet", "", ""],
        ["'=d", "", "'=cmd()", "succeeded", "x", "1", "not in this batch", "", ""],
    ]


def test_texts_are_written_as_one_column(provider: Provider) -> None:
    batch = answered_batch(provider, {"a": "fine", "b": ValueError("server")}, texts=True)
    text = b"".join(comparison_lines([batch, batch])).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(text))) == [
        ["custom_id", "agree", "status_1", "answer_1", "status_2", "answer_2"],
        ["a", "yes", "succeeded", "fine", "succeeded", "fine"],
        ["b", "yes", "failed: server", "", "failed: server", ""],
    ]
