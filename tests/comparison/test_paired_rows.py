"""Rows of several batches are read side by side, in pages."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from batches.comparison import paired_rows as reading
from batches.comparison.paired_rows import paired_rows
from batches.comparison.row_answers import Missing, PairedRow, RowAnswer
from batches.models import Batch, Prompt, Provider, Result
from tests.comparison.makers import OPEN, answered_batch

pytestmark = pytest.mark.django_db


def read(*batches: Batch, after: int = -1, with_cells: bool = False) -> list[PairedRow]:
    return list(paired_rows(batches, after=after, with_cells=with_cells))


def shown(row: PairedRow) -> list[object]:
    return [
        one.kind or dict(one.fields) if isinstance(one, RowAnswer) else one for one in row.answers
    ]


def test_rows_are_matched_by_custom_id_in_the_order_of_the_first(provider: Provider) -> None:
    first = answered_batch(provider, {"b": {"x": 1}, "a": {"x": 2}, "c": {"x": 3}})
    second = answered_batch(
        provider, {"a": {"x": 5}, "d": {"x": 6}, "b": ValueError("server"), "c": OPEN}
    )
    rows = read(first, second)
    assert [(row.custom_id, row.index) for row in rows] == [("b", 0), ("a", 1), ("c", 2)]
    assert [shown(row) for row in rows] == [
        [{"x": 1}, "server"],
        [{"x": 2}, {"x": 5}],
        [{"x": 3}, Missing.OPEN],
    ]
    assert [shown(row) for row in read(second, first)][1] == [{"x": 6}, Missing.ABSENT]
    assert [row.index for row in read(first, second, after=0)] == [1, 2]
    answer = rows[1].answers[1]
    assert isinstance(answer, RowAnswer)
    assert (answer.index, answer.fits, answer.input_tokens, answer.output_tokens) == (
        0,
        True,
        10,
        5,
    )


def test_what_never_ran_has_no_result_yet(provider: Provider) -> None:
    batch = answered_batch(provider, {"a": ValueError("cancelled"), "b": {"x": 1}})
    assert [shown(row) for row in read(batch, batch)] == [
        [Missing.OPEN, Missing.OPEN],
        [{"x": 1}, {"x": 1}],
    ]


def test_texts_are_one_field_and_fit_no_schema(provider: Provider) -> None:
    batch = answered_batch(provider, {"a": "All is fine."}, texts=True)
    [row] = read(batch, batch)
    assert shown(row) == [{"answer": "All is fine."}] * 2
    assert not any(isinstance(one, RowAnswer) and one.fits for one in row.answers)


def test_a_row_has_the_cells_of_the_table(provider: Provider) -> None:
    plain = answered_batch(provider, {"a": {"x": 1}})
    table = answered_batch(provider, {"a": {"x": 1}}, rows={"a": {"label": "good"}})
    for batches in ((plain, table), (table, plain)):
        assert read(*batches, with_cells=True)[0].cells == {"label": "good"}
        assert read(*batches)[0].cells == {}
    assert read(plain, plain, with_cells=True)[0].cells == {}


def test_an_answer_that_was_used_again_counts_its_tokens(provider: Provider) -> None:
    origin = answered_batch(provider, {"a": {"x": 1}})
    batch = answered_batch(provider, {"a": {"x": 1}}, reused=1)
    source = Result.objects.get(batch=origin).pk
    Result.objects.filter(batch=batch).update(
        source=source, input_tokens=0, output_tokens=0, latency_s=None
    )
    [row] = read(batch, origin)
    again, first = row.compared
    assert (again.input_tokens, again.output_tokens) == (first.input_tokens, 5)
    assert again.latency_s is None
    Result.objects.filter(pk=source).delete()
    [row] = read(batch, batch)
    assert row.compared[0].input_tokens == 0


def test_long_answers_are_read_one_at_a_time_up_to_a_bound(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 60_000)
    long, longest = "x" * 20_000, "y" * 70_000
    batch = answered_batch(provider, {"a": {"x": long}, "b": {"x": longest}, "c": {"x": 1}})
    with CaptureQueriesContext(connection) as queries:
        rows = read(batch, batch)
    assert [shown(row)[0] for row in rows] == [{"x": long}, Missing.LONG, {"x": 1}]
    assert len(queries) == 2 + 2


def test_queries_grow_with_pages_and_not_with_rows(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {f"row {n}": {"x": n} for n in range(12)}
    batches = [answered_batch(provider, answers) for _ in range(3)]
    for page, pages in ((12, 2), (100, 1), (5, 3)):
        monkeypatch.setattr(reading, "PAGE_ROWS", page)
        with CaptureQueriesContext(connection) as queries:
            rows = read(*batches)
        assert [row.index for row in rows] == list(range(12))
        # A full page does not say that it is the last.
        assert len(queries) == pages * 3 - (2 if page == 12 else 0)


def test_a_reply_that_is_no_json_is_no_answer(provider: Provider) -> None:
    batch = answered_batch(provider, {"a": "x"}, texts=True, rows={"a": {"label": "x"}})
    Result.objects.filter(batch=batch).update(body="<html>")
    Prompt.objects.filter(batch=batch).update(row=json.dumps(["no", "cells"]))
    [row] = read(batch, batch, with_cells=True)
    assert shown(row) == [{"answer": ""}] * 2
    assert row.cells == {}


def test_long_rows_of_a_table_are_read_one_at_a_time_up_to_a_bound(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 60_000)
    rows = {"a": {"label": "x" * 20_000}, "b": {"label": "y" * 70_000}, "c": {"label": "z"}}
    batch = answered_batch(provider, {key: {"x": 1} for key in rows}, rows=rows)
    with CaptureQueriesContext(connection) as queries:
        found = read(batch, batch, with_cells=True)
    assert [row.cells for row in found] == [rows["a"], {}, rows["c"]]
    assert len(queries) == 2 + 1
