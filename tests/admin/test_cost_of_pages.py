"""Pages ask the database as often for a large batch as for a small one."""

import time

import pytest
from django.db import connection
from django.db.models import Max
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.admin import samples
from batches.lifecycle import BatchStatus
from batches.models import Batch, BatchHour, Prompt, Provider, Result
from batches.workers.hours import record_hours
from tests.admin.makers import ended_batch

MOST_QUERIES = {"changelist": 16, "change": 16, "results": 10, "live": 14, "index": 30}


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


@pytest.fixture
def small(provider: Provider) -> Batch:
    return ended_batch(provider, ["a", "b"], failed={1: "bad"})


@pytest.fixture
def large(provider: Provider) -> Batch:
    return ended_batch(
        provider, [f"prompt {n}" for n in range(300)], failed=dict.fromkeys(range(0, 300, 3), "bad")
    )


@pytest.mark.parametrize("name", ["change", "live", "results"])
def test_a_page_of_a_batch_costs_the_same_for_many_prompts(
    root: Client, small: Batch, large: Batch, name: str
) -> None:
    few, many = (
        queries(root, reverse(f"admin:batches_batch_{name}", args=[batch.pk]))
        for batch in (small, large)
    )
    assert many <= few + 1
    assert many <= MOST_QUERIES[name]


def test_the_list_costs_the_same_for_many_batches(root: Client, provider: Provider) -> None:
    address = reverse("admin:batches_batch_changelist")
    ended_batch(provider, ["a"])
    few = queries(root, address)
    for _ in range(5):
        ended_batch(provider, ["a"])
    assert queries(root, address) == few <= MOST_QUERIES["changelist"]


def test_of_a_large_batch_a_sample_is_looked_at(large: Batch) -> None:
    found = samples.samples_of(large, most=50)
    assert (len(found.results), found.weight) == (50, 6)
    with CaptureQueriesContext(connection) as captured:
        samples.samples_of(large, most=50)
    assert len(captured) == 1
    assert "LIMIT" not in captured[0]["sql"]


def test_batches_are_found_by_id_and_by_custom_id(root: Client, small: Batch, large: Batch) -> None:
    address = reverse("admin:batches_batch_changelist")
    for term, found in (
        (small.public_id, {small}),
        (large.public_id[:20], {large}),
        ("line-2", {small, large}),
        ("line-300", {large}),
        ("nothing", set()),
    ):
        shown = root.get(address, {"q": term}).context["cl"].result_list
        assert set(shown) == found, term


BATCHES, RESULTS = 10_000, 1_000_000
# In one statement of the database, which takes seconds and not minutes.
MANY_RESULTS = """
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < %s)
INSERT INTO batches_result (
    prompt_id, batch_id, "index", status, kind, code, message, request_id, rung, finish_reason,
    input_tokens, output_tokens, calls, latency_s, elapsed_s, done_at)
SELECT %s + n, %s, n, 'succeeded', '', '', '', '', '', '', 3, 2, 1, 0.25, 0.25, CURRENT_TIMESTAMP
FROM numbers
"""


def many_batches(provider: Provider, example: Batch) -> None:
    """Ended batches that were active over the last week; `example` runs, with a million results."""
    now = time.time()
    made = Batch.objects.bulk_create(
        Batch(
            provider=provider,
            endpoint=example.endpoint,
            status=BatchStatus.COMPLETED,
            total=10,
            succeeded=10,
            active_until=now - 6.5 * 24 * 3600 * n / BATCHES,
        )
        for n in range(BATCHES)
    )
    record_hours()
    highest = Prompt.objects.aggregate(top=Max("pk"))["top"]
    with connection.cursor() as cursor:
        cursor.execute(MANY_RESULTS, [RESULTS, highest + 1, example.pk])
    Batch.objects.filter(pk=example.pk).update(
        total=RESULTS, succeeded=RESULTS - 1, status=BatchStatus.IN_PROGRESS
    )
    assert len(made) == BatchHour.objects.count() - 2


def test_the_dashboard_costs_the_same_for_ten_thousand_batches_and_a_million_results(
    root: Client, provider: Provider
) -> None:
    ended_batch(provider, ["a"])
    example = ended_batch(provider, ["a"])
    Result.objects.filter(batch=example).delete()
    queries(root, reverse("admin:index"))
    few = queries(root, reverse("admin:index"))
    many_batches(provider, example)
    for period in ("day", "week"):
        # The running batch asks for a sample of its results and for its failures.
        many = queries(root, f"{reverse('admin:index')}?period={period}")
        assert many <= few + 3
        assert many <= MOST_QUERIES["index"]
