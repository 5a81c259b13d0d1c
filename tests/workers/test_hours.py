"""What batches did in each hour is recorded by sweeps, however often and late they come."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from batches.models import Batch, BatchHour, Provider
from batches.tasks import sweep
from batches.workers.hours import KEPT_FOR, record_hours
from tests.makers import batch_of

HOUR = 3600.0
# Well within an hour, some hours ago.
EARLIER = time.time() // HOUR * HOUR - 5 * HOUR + 600


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return batch_of(provider, 100)


def does(batch: Batch, at: float, succeeded: int, failed: int = 0, cost: str = "0") -> None:
    """Set the counts of a batch as its runners would have by then."""
    Batch.objects.filter(pk=batch.pk).update(
        active_until=at, succeeded=succeeded, failed=failed, cost=Decimal(cost)
    )


def hours() -> list[tuple[float, int, int, Decimal]]:
    """The hours, counted from EARLIER, with what was done in each."""
    return [
        (
            (row.hour.timestamp() + 600 - EARLIER) / HOUR,
            row.succeeded - row.before_succeeded,
            row.failed - row.before_failed,
            row.cost - row.before_cost,
        )
        for row in BatchHour.objects.order_by("hour", "batch")
    ]


def test_each_hour_has_what_was_done_in_it(batch: Batch) -> None:
    for hour, succeeded, failed, cost in ((0, 10, 1, "0.5"), (0, 20, 2, "1"), (3, 50, 2, "2.5")):
        does(batch, EARLIER + hour * HOUR, succeeded, failed, cost)
        for _ in range(2):
            sweep()
    assert hours() == [(0, 20, 2, Decimal(1)), (3, 30, 0, Decimal("1.5"))]


def test_a_sweep_that_comes_late_counts_in_the_hour_of_the_last_activity(batch: Batch) -> None:
    does(batch, EARLIER + HOUR, 10)
    does(batch, EARLIER + 2 * HOUR, 30)
    record_hours()
    assert hours() == [(2, 30, 0, Decimal(0))]


def test_failures_that_are_retried_count_again(batch: Batch) -> None:
    does(batch, EARLIER, 10, 40)
    record_hours()
    does(batch, EARLIER + HOUR, 10, 0)
    record_hours()
    does(batch, EARLIER + HOUR, 45, 5)
    record_hours()
    assert hours() == [(0, 10, 40, Decimal(0)), (1, 35, 5, Decimal(0))]


def test_only_batches_that_were_active_lately_are_written(provider: Provider, batch: Batch) -> None:
    does(batch, EARLIER, 10)
    record_hours()
    other = batch_of(provider, 10)
    does(other, EARLIER + HOUR, 5)
    record_hours()
    assert record_hours() == 1
    # A batch that was committed a little later, with an earlier time, is not missed.
    does(batch, EARLIER + HOUR - 60, 12)
    assert record_hours() == 2
    done = [(hour, succeeded) for hour, succeeded, _, _ in hours()]
    assert done == [(0, 10), (1, 2), (1, 5)]


def test_a_clock_that_is_ahead_hides_no_other_batch(provider: Provider, batch: Batch) -> None:
    does(batch, time.time() + 2 * HOUR, 10)
    record_hours()
    does(batch_of(provider, 10), time.time(), 5)
    assert record_hours() == 2


def test_old_hours_and_those_of_deleted_batches_go(provider: Provider, batch: Batch) -> None:
    does(batch, EARLIER, 10)
    record_hours()
    long_ago = datetime.now(UTC) - KEPT_FOR - timedelta(hours=1)
    old = BatchHour.objects.get()
    BatchHour.objects.filter(pk=old.pk).update(hour=long_ago)
    record_hours()
    assert list(BatchHour.objects.values_list("succeeded", flat=True)) == [10]
    assert not BatchHour.objects.filter(pk=old.pk).exists()
    Batch.objects.filter(pk=batch.pk).update(deleted_at=datetime.now(UTC))
    sweep()
    assert not BatchHour.objects.exists()


def test_many_batches_cost_few_queries(provider: Provider) -> None:
    made = batch_of(provider, 1)
    Batch.objects.bulk_create(
        Batch(provider=provider, endpoint=made.endpoint, active_until=EARLIER) for _ in range(2000)
    )
    record_hours()
    with CaptureQueriesContext(connection) as captured:
        assert record_hours() == 2000
    # SQLite takes about a hundred rows in a query.
    assert len(captured) <= 2000 / 100 + 8
