"""Two runners at one chunk, over connections of their own: exactly one of them wins."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from batches.leases.chunks import Lease, claim_slot
from batches.lifecycle import PauseKind
from batches.models import Batch, Chunk, Provider, Result
from batches.providers import breaker
from batches.runner.results import Activity, ChunkOutcomes, Clock, store_outcomes
from tests.makers import batch_of, chunk_outcomes, claim_chunk

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 30.0
# How long the first of two holds its transaction open for the second to run into it. Whether it
# does decides nothing: the outcome must be the same.
OVERLAP_S = 0.3


@pytest.fixture
def batch(transactional_db: None, provider: Provider) -> Batch:
    return batch_of(provider, 2, batch_size=2)


class InThread:
    """A function in a thread and over a connection of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._thread = threading.Thread(target=self._run)
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error
        finally:
            connection.close()

    def over(self, seconds: float) -> None:
        self._thread.join(seconds)

    def result(self) -> Any:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._result


def expired_lease(batch: Batch) -> Lease:
    """A lease that has run out, of a runner that does not know it."""
    lease = claim_chunk(batch.pk, seconds=60)
    assert lease
    past = timezone.now() - timedelta(seconds=1)
    Chunk.objects.filter(pk=lease.chunk_id).update(lease_expires_at=past)
    return lease


def flush(batch: Batch, outcomes: ChunkOutcomes) -> list[Lease]:
    return store_outcomes(
        batch.pk, [outcomes], activity=Activity(0, 0, None), clock=Clock(0), lease_seconds=60
    )


def claim(batch: Batch) -> Lease | None:
    return claim_chunk(batch.pk, seconds=60)


def test_a_runner_that_is_finishing_is_not_robbed(batch: Batch) -> None:
    lease = expired_lease(batch)
    outcomes = chunk_outcomes(batch, lease)
    with transaction.atomic():
        assert flush(batch, outcomes) == []
        claimer = InThread(lambda: claim(batch))
        claimer.over(OVERLAP_S)
    assert claimer.result() is None
    assert Result.objects.count() == 2
    assert Chunk.objects.get().state == "done"


def test_a_runner_that_was_robbed_stores_nothing(batch: Batch) -> None:
    lease = expired_lease(batch)
    outcomes = chunk_outcomes(batch, lease)
    with transaction.atomic():
        newer = claim(batch)
        assert newer
        finisher = InThread(lambda: flush(batch, outcomes))
        finisher.over(OVERLAP_S)
    assert finisher.result() == [lease]
    assert not Result.objects.exists()
    assert flush(batch, chunk_outcomes(batch, newer)) == []
    assert Result.objects.count() == 2


def test_of_many_who_claim_at_once_each_chunk_has_one(provider: Provider) -> None:
    batch = batch_of(provider, 12, batch_size=1)
    start = threading.Barrier(4)

    def claim_some() -> list[int]:
        start.wait(PATIENCE_S)
        found = []
        while lease := claim(batch):
            found.append(lease.lo)
        return found

    claimers = [InThread(claim_some) for _ in range(4)]
    claimed = [lo for claimer in claimers for lo in claimer.result()]
    assert sorted(claimed) == list(range(12))


def test_of_many_who_want_a_slot_as_many_get_one_as_there_are(provider: Provider) -> None:
    batch = batch_of(provider, 3, batch_size=1, parallelism=2)
    start = threading.Barrier(5)

    def take() -> bool:
        start.wait(PATIENCE_S)
        return claim_slot(batch.pk, seconds=60, runner="r") is not None

    takers = [InThread(take) for _ in range(5)]
    assert sum(taker.result() for taker in takers) == 2


def test_of_many_who_would_probe_a_paused_provider_one_does(provider: Provider) -> None:
    batch = batch_of(provider, 2)
    breaker.trip(provider.pk, PauseKind.AUTH, "auth: HTTP 401")
    Provider.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
    threads = [InThread(lambda: breaker.claim_probe(batch.pk)) for _ in range(8)]
    assert sorted(thread.result() for thread in threads) == [False] * 7 + [True]


def test_two_who_store_the_same_chunks_in_opposite_order_do_not_hang(provider: Provider) -> None:
    batch = batch_of(provider, 8, batch_size=2)
    leases = [claim(batch) for _ in range(4)]
    chunks = [chunk_outcomes(batch, lease) for lease in leases if lease]
    start = threading.Barrier(2)

    def store(order: list[ChunkOutcomes]) -> list[Lease]:
        start.wait(PATIENCE_S)
        return store_outcomes(
            batch.pk, order, activity=Activity(0, 0, None), clock=Clock(0), lease_seconds=60
        )

    both = [InThread(lambda: store(chunks)), InThread(lambda: store(chunks[::-1]))]
    lost = [len(one.result()) for one in both]
    assert sorted(lost) == [0, 4]
    assert Result.objects.count() == 8
