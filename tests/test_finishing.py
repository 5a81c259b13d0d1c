from datetime import timedelta

import pytest
from django.utils import timezone

from batches.finishing import finish_batch
from batches.leases import claim_chunk, hold
from batches.models import Batch, Chunk, Provider, Result
from batches.results import Activity, Clock, store_outcomes
from tests.checker import check_batch
from tests.makers import batch_of, chunk_outcomes

LONG_AGO = timezone.now() - timedelta(days=1)


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """Three chunks: 0-1, 2-3 and 4."""
    return batch_of(provider, 5, batch_size=2)


def store_first_chunk(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    store_outcomes(
        batch.pk,
        [chunk_outcomes(batch, lease, failed=[1])],
        activity=Activity(0, 0, None),
        clock=Clock(0),
        lease_seconds=60,
    )


def kinds(batch: Batch) -> list[str]:
    return list(batch.results.order_by("index").values_list("kind", flat=True))


def test_a_batch_with_open_prompts_does_not_end(batch: Batch) -> None:
    store_first_chunk(batch)
    assert not finish_batch(batch.pk)
    batch.refresh_from_db()
    assert batch.status == "in_progress"


def test_a_cancelled_batch_keeps_what_it_has_and_closes_the_rest(batch: Batch) -> None:
    store_first_chunk(batch)
    Batch.objects.update(status="cancelling")
    assert finish_batch(batch.pk)
    check_batch(batch, status="cancelled")
    assert kinds(batch) == ["", "server", "cancelled", "cancelled", "cancelled"]
    # What never ran is not counted as failed.
    assert (batch.succeeded, batch.failed) == (1, 1)


def test_an_overdue_batch_expires(batch: Batch) -> None:
    store_first_chunk(batch)
    Batch.objects.update(expires_at=LONG_AGO)
    assert claim_chunk(batch.pk, seconds=60) is None
    assert finish_batch(batch.pk)
    check_batch(batch, status="expired")
    assert kinds(batch)[2:] == ["expired"] * 3


def test_a_batch_that_was_done_in_time_completes_however_late_it_is_looked_at(
    provider: Provider,
) -> None:
    batch = batch_of(provider, 2, batch_size=2)
    store_first_chunk(batch)
    Batch.objects.update(expires_at=LONG_AGO)
    assert finish_batch(batch.pk)
    check_batch(batch)


def test_the_chunks_that_a_runner_holds_are_waited_for(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    Batch.objects.update(status="cancelling")
    assert not finish_batch(batch.pk)
    assert sorted(batch.results.values_list("index", flat=True)) == [2, 3, 4]
    assert hold(lease, seconds=60)


def test_a_runner_that_was_thought_gone_is_fenced_off(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    Chunk.objects.filter(pk=lease.chunk_id).update(lease_expires_at=LONG_AGO)
    Batch.objects.update(status="cancelling")
    assert finish_batch(batch.pk)
    late = [chunk_outcomes(batch, lease)]
    lost = store_outcomes(
        batch.pk, late, activity=Activity(0, 0, None), clock=Clock(0), lease_seconds=60
    )
    assert lost == [lease]
    check_batch(batch, status="cancelled")


def test_many_chunks_are_closed_in_pieces(provider: Provider) -> None:
    batch = batch_of(provider, 450, batch_size=2)
    Batch.objects.update(status="cancelling")
    assert finish_batch(batch.pk)
    check_batch(batch, status="cancelled")
    assert Result.objects.filter(kind="cancelled").count() == 450
