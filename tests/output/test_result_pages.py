"""Pages of results: no longer than they may be, whole together, found by indexes alone."""

import re
import tracemalloc
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from batches.models import Batch, Prompt, Provider, Result
from batches.output.csv import csv_lines
from batches.output.files import output_lines
from batches.output.jsonl import result_rows
from batches.output.pages import PAGE_BYTES, PAGE_ROWS, SHORT_BYTES, result_page, result_pages_of
from tests.makers import batch_of

MB = 1024 * 1024
ROWS = 48


def store(batch: Batch, *, chars: int, failed: int | None = None) -> None:
    """A result of this length for each prompt; every `failed`th is of the kind `server`."""
    for prompt in Prompt.objects.filter(batch=batch):
        is_failed = failed is not None and prompt.index % failed == 0
        Result.objects.create(
            prompt=prompt,
            batch=batch,
            index=prompt.index,
            status="failed" if is_failed else "succeeded",
            kind="server" if is_failed else "",
            status_code=500 if is_failed else 200,
            body=f'{{"text":"{"x" * chars}"}}',
            input_tokens=0,
            output_tokens=0,
            calls=1,
            elapsed_s=0,
            done_at=timezone.now(),
        )


def read_rows(batch: Batch) -> int:
    return sum(1 for _ in result_rows(batch))


def read_csv(batch: Batch) -> int:
    return sum(1 for _ in csv_lines(batch)) - 1


def read_files(batch: Batch) -> int:
    assert batch.output_file
    assert batch.error_file
    files = (batch.output_file, batch.error_file)
    return sum(lines.count(b"\n") for file in files for lines in output_lines(file) or ())


@pytest.mark.parametrize("read", [read_rows, read_csv, read_files])
def test_memory_does_not_grow_with_the_length_of_replies(
    provider: Provider, read: Callable[[Batch], int]
) -> None:
    batch = batch_of(provider, ROWS)
    batch.refresh_from_db()
    store(batch, chars=MB, failed=2)
    tracemalloc.start()
    try:
        assert read(batch) == ROWS
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * PAGE_BYTES < ROWS * MB


def test_a_page_has_one_row_at_least_and_the_pages_hold_together(provider: Provider) -> None:
    batch = batch_of(provider, 4)
    store(batch, chars=2 * PAGE_BYTES, failed=3)
    found, after, has_more = [], -1, True
    while has_more:
        page = result_page(batch, ("status",), after=after, most=100)
        found.append([(index, status) for _, index, _, status in page.rows])
        after, has_more = page.last, page.has_more
    assert found == [[(0, "failed")], [(1, "succeeded")], [(2, "succeeded")], [(3, "failed")]]


@pytest.mark.parametrize(
    ("status", "kind"), [(None, None), ("failed", None), (None, "server"), ("failed", "server")]
)
def test_a_page_is_found_by_indexes_alone(
    provider: Provider, status: str | None, kind: str | None
) -> None:
    batch = batch_of(provider, 3)
    store(batch, chars=SHORT_BYTES, failed=2)
    with CaptureQueriesContext(connection) as queries:
        result_page(batch, ("body",), after=1, most=10, status=status, kind=kind)
    *places, rows = [plan_of(query["sql"]) for query in queries.captured_queries]
    for plan in places:
        assert "index>?" in plan or "Index Cond" in plan
    if kind:
        assert "result_failed_of_kind" in "".join(places)
    for plan in (*places, rows):
        for costly in ("SCAN", "Seq Scan", "TEMP B-TREE", "Sort"):
            assert costly not in plan


def test_short_replies_are_read_once(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    store(batch, chars=1)
    with CaptureQueriesContext(connection) as queries:
        page = result_page(batch, ("body",), after=-1, most=10, status="succeeded")
    assert [row[-1] for row in page.rows] == ['{"text":"x"}'] * 3
    assert len(queries) == 1


def test_not_many_more_replies_are_measured_than_fit_on_a_page(provider: Provider) -> None:
    batch = batch_of(provider, 6)
    store(batch, chars=PAGE_BYTES // 2)
    with CaptureQueriesContext(connection) as queries:
        assert len(list(result_pages_of(batch, ("body",), status="succeeded"))) == 6
    limits = re.findall(r"LIMIT (\d+)", " ".join(query["sql"] for query in queries))
    assert limits == [str(PAGE_ROWS + 1), *["3"] * 5]


def plan_of(sql: str) -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # What it would do with a million rows; with a few it rightly reads and sorts the table.
            for costly in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{costly} = off")
            cursor.execute(f"EXPLAIN {sql}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        return "\n".join(str(step) for step in cursor.fetchall())
