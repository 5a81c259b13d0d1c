from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from batches.leases.chunks import Lease
from batches.models import Batch, Chunk, Provider, Result
from batches.runner.results import Activity, ChunkOutcomes, Clock, store_outcomes
from tests.makers import batch_of, chunk_outcomes, claim_chunk

ACTIVITY = Activity(since=1000.0, until=1010.0, first_answer=1002.0)


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return batch_of(provider, 4, batch_size=2)


def claim(batch: Batch) -> Lease:
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    return lease


def store(
    batch: Batch, *chunks: ChunkOutcomes, activity: Activity = ACTIVITY, again: bool = False
) -> list[Lease]:
    lost = store_outcomes(
        batch.pk,
        chunks,
        activity=activity,
        clock=Clock(1_700_000_000.0),
        lease_seconds=60,
        again=again,
    )
    batch.refresh_from_db()
    return lost


def test_outcomes_are_stored_with_the_counts_of_their_batch(batch: Batch) -> None:
    assert store(batch, chunk_outcomes(batch, claim(batch), failed=[1])) == []
    results = Result.objects.filter(batch=batch).order_by("index")
    assert [(r.index, r.status, r.kind) for r in results] == [
        (0, "succeeded", ""),
        (1, "failed", "server"),
    ]
    assert (batch.succeeded, batch.failed, batch.calls) == (1, 1, 2)
    assert (batch.input_tokens, batch.output_tokens) == (6, 4)
    assert batch.busy_s == pytest.approx(0.5)
    assert results[0].done_at.timestamp() == pytest.approx(1_700_000_100.0)
    assert Chunk.objects.get(batch=batch, lo=0).state == "done"


def test_a_flush_takes_one_statement_for_each_chunk_and_three_for_all(batch: Batch) -> None:
    done = chunk_outcomes(batch, claim(batch))
    begun = chunk_outcomes(batch, claim(batch), done=False)
    with CaptureQueriesContext(connection) as queries:
        store_outcomes(
            batch.pk, [done, begun], activity=ACTIVITY, clock=Clock(0.0), lease_seconds=60
        )
    verbs = [query["sql"].split(" ", 1)[0] for query in queries]
    # The insert is a COPY on PostgreSQL, which is not captured. The last one checks the done chunk.
    made = [verb for verb in verbs if verb in {"UPDATE", "SELECT"}]
    assert made == ["UPDATE", "UPDATE", "UPDATE", "SELECT"]


def test_a_chunk_that_is_not_done_stays_leased_and_is_renewed(batch: Batch) -> None:
    lease = claim(batch)
    Chunk.objects.filter(pk=lease.chunk_id).update(lease_expires_at=timezone.now())
    store(batch, chunk_outcomes(batch, lease, done=False))
    chunk = Chunk.objects.get(pk=lease.chunk_id)
    assert chunk.state == "leased"
    assert chunk.lease_expires_at
    assert chunk.lease_expires_at > timezone.now() + timedelta(seconds=30)


def test_what_a_stale_runner_brings_is_dropped_whole(batch: Batch) -> None:
    stale = claim(batch)
    Chunk.objects.filter(pk=stale.chunk_id).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    newer = claim(batch)
    assert newer.chunk_id == stale.chunk_id
    assert store(batch, chunk_outcomes(batch, stale, failed=[0, 1])) == [stale]
    assert not Result.objects.filter(batch=batch).exists()
    assert (batch.succeeded, batch.failed, batch.active_s) == (0, 0, 0.0)
    assert store(batch, chunk_outcomes(batch, newer)) == []
    assert (batch.succeeded, batch.failed) == (2, 0)


def test_a_stale_chunk_does_not_keep_the_others_from_being_stored(batch: Batch) -> None:
    stale = claim(batch)
    Chunk.objects.filter(pk=stale.chunk_id).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    claim(batch)
    other = claim(batch)
    assert store(batch, chunk_outcomes(batch, stale), chunk_outcomes(batch, other)) == [stale]
    assert list(Result.objects.values_list("index", flat=True)) == [2, 3]


def test_time_that_two_runners_were_at_work_counts_once(batch: Batch) -> None:
    store(batch, chunk_outcomes(batch, claim(batch)), activity=Activity(1000, 1010, 1002))
    assert batch.active_s == pytest.approx(10)
    assert batch.first_result_s == pytest.approx(2)
    store(batch, chunk_outcomes(batch, claim(batch)), activity=Activity(1005, 1012, 1006))
    assert batch.active_s == pytest.approx(12)
    assert batch.first_result_s == pytest.approx(2)


def test_time_between_two_runs_does_not_count(batch: Batch) -> None:
    store(batch, chunk_outcomes(batch, claim(batch)), activity=Activity(1000, 1010, 1002))
    store(batch, chunk_outcomes(batch, claim(batch)), activity=Activity(5000, 5001, 5000.5))
    assert batch.active_s == pytest.approx(11)


def test_what_was_committed_although_it_seemed_to_fail_is_ours_and_counts_once(
    batch: Batch,
) -> None:
    outcomes = chunk_outcomes(batch, claim(batch))
    assert store(batch, outcomes) == []
    before = (batch.succeeded, batch.calls)
    assert store(batch, outcomes, again=True) == []
    assert (batch.succeeded, batch.calls) == before
