from datetime import timedelta

import pytest
from django.utils import timezone

from batches.leases.chunks import (
    claim_chunks,
    claim_slot,
    complete,
    hold,
    hold_slot,
    mark_suspect,
    release,
    release_slot,
)
from batches.lifecycle import ChunkState
from batches.models import Batch, Chunk, Provider, Slot
from tests.makers import batch_of, claim_chunk


@pytest.fixture
def batch(provider: Provider) -> Batch:
    """Three chunks: 0-1, 2-3 and 4."""
    return batch_of(provider, 5, batch_size=2)


def expire_leases() -> None:
    past = timezone.now() - timedelta(seconds=1)
    Chunk.objects.filter(state=ChunkState.LEASED).update(lease_expires_at=past)


def test_chunks_are_claimed_in_order_and_each_once(batch: Batch) -> None:
    leases = [claim_chunk(batch.pk, seconds=60) for _ in range(4)]
    assert [(lease.lo, lease.hi) for lease in leases if lease] == [(0, 2), (2, 4), (4, 5)]
    assert leases[3] is None


def test_a_released_chunk_can_be_claimed_at_once(batch: Batch) -> None:
    first = claim_chunk(batch.pk, seconds=60)
    assert first
    release([first])
    again = claim_chunk(batch.pk, seconds=60)
    assert again
    assert (again.lo, again.token) == (first.lo, first.token + 1)
    assert Chunk.objects.get(pk=again.chunk_id).crashes == 0


def test_an_expired_lease_can_be_claimed_and_counts_as_a_crash(batch: Batch) -> None:
    first = claim_chunk(batch.pk, seconds=60)
    assert first
    expire_leases()
    again = claim_chunk(batch.pk, seconds=60)
    assert again
    assert (again.lo, again.token) == (first.lo, first.token + 1)
    assert Chunk.objects.get(pk=again.chunk_id).crashes == 1


def test_an_expired_lease_that_nobody_claimed_can_still_be_renewed(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    expire_leases()
    assert hold(lease, seconds=60)
    assert claim_chunk(batch.pk, seconds=60) != lease


def test_several_chunks_are_claimed_at_once_the_first_ones_in_order(batch: Batch) -> None:
    first = claim_chunks(batch.pk, most=2, seconds=60)
    assert [(lease.lo, lease.token) for lease in first] == [(0, 1), (2, 1)]
    assert [lease.lo for lease in claim_chunks(batch.pk, most=2, seconds=60)] == [4]
    assert claim_chunks(batch.pk, most=2, seconds=60) == []
    assert all(hold(lease, seconds=60) for lease in first)


def test_whoever_lost_a_chunk_can_do_nothing_to_it(batch: Batch) -> None:
    stale = claim_chunk(batch.pk, seconds=60)
    assert stale
    expire_leases()
    newer = claim_chunk(batch.pk, seconds=60)
    assert newer
    before = Chunk.objects.values().get(pk=newer.chunk_id)
    assert not hold(stale, seconds=60)
    assert not complete(stale)
    release([stale])
    assert Chunk.objects.values().get(pk=newer.chunk_id) == before


def test_a_done_chunk_is_never_claimed_again(batch: Batch) -> None:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    assert complete(lease)
    assert [chunk.lo for chunk in batch.chunks.claimable().order_by("lo")] == [2, 4]


@pytest.mark.parametrize(
    "values",
    [{"pause_reason": "auth"}, {"status": "validating"}, {"status": "cancelling"}],
    ids=str,
)
def test_a_batch_that_must_not_run_gives_no_chunk(batch: Batch, values: dict[str, str]) -> None:
    Batch.objects.filter(pk=batch.pk).update(**values)
    assert claim_chunk(batch.pk, seconds=60) is None


def test_a_chunk_that_lost_two_runners_is_given_only_to_who_asks_for_it(batch: Batch) -> None:
    for _ in range(3):
        lease = claim_chunk(batch.pk, seconds=60)
        assert lease
        expire_leases()
    assert Chunk.objects.filter(batch=batch, state="leased").count() == 2
    alone = claim_chunk(batch.pk, seconds=60, quarantined=True)
    assert alone
    assert alone.lo == 0
    assert Chunk.objects.get(batch=batch, lo=0).crashes == 2


def test_the_prompt_over_which_runners_vanish_is_counted(batch: Batch) -> None:
    Chunk.objects.filter(batch=batch, lo=0).update(crashes=2)
    for crashes in range(3):
        lease = claim_chunk(batch.pk, seconds=60, quarantined=True)
        assert lease
        assert (lease.suspect, lease.suspect_crashes) == ((1, crashes) if crashes else (None, 0))
        assert mark_suspect(lease, 1)
        expire_leases()


def test_another_suspect_starts_without_crashes(batch: Batch) -> None:
    Chunk.objects.filter(batch=batch, lo=0).update(crashes=2, suspect=0, suspect_crashes=1)
    lease = claim_chunk(batch.pk, seconds=60, quarantined=True)
    assert lease
    assert mark_suspect(lease, 1)
    chunk = Chunk.objects.get(batch=batch, lo=0)
    assert (chunk.suspect, chunk.suspect_crashes) == (1, 0)


def test_a_batch_has_as_many_runners_as_its_parallelism(provider: Provider) -> None:
    batch = batch_of(provider, 5, parallelism=2)
    slots = [claim_slot(batch.pk, seconds=60, runner="r") for _ in range(3)]
    assert slots[0]
    assert slots[1]
    assert slots[2] is None
    release_slot(slots[0])
    assert claim_slot(batch.pk, seconds=60, runner="r")


def test_a_slot_of_a_runner_that_vanished_goes_to_another(provider: Provider) -> None:
    batch = batch_of(provider, 5)
    gone = claim_slot(batch.pk, seconds=60, runner="gone")
    assert gone
    Slot.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert claim_slot(batch.pk, seconds=60, runner="new")
    assert not hold_slot(gone, seconds=60)
    release_slot(gone)
    assert Slot.objects.get().runner == "new"
