"""The gate of a pilot: what opens it, what does not, and what happens to a batch at it."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from batches.actions import batches as batch_actions
from batches.actions.options import Pilot
from batches.ending.finishing import finish_batch
from batches.ending.gate import attend_gate
from batches.errors import NotPossible
from batches.leases.chunks import claim_chunks
from batches.leases.state import current_state
from batches.models import Batch, Chunk, Provider
from batches.runner.results import Activity, Clock, store_outcomes
from batches.workers.sweeper import sweep
from tests.checker import check_batch
from tests.makers import batch_of, chunk_outcomes

TOTAL, ROWS = 20, 4
PILOT = [2, 7, 12, 17]


@pytest.fixture
def batch(provider: Provider) -> Batch:
    return batch_of(provider, TOTAL, batch_size=5, pilot=Pilot(rows=ROWS))


def claim_all(batch: Batch) -> list[Any]:
    return claim_chunks(batch.pk, most=100, seconds=60)


def store(batch: Batch, leases: list[Any], *, failed: tuple[int, ...] = ()) -> None:
    store_outcomes(
        batch.pk,
        [chunk_outcomes(batch, lease, failed=failed) for lease in leases],
        activity=Activity(0, 0, None),
        clock=Clock(0),
        lease_seconds=60,
    )


def run_pilot(batch: Batch, *, failed: tuple[int, ...] = ()) -> None:
    store(batch, claim_all(batch), failed=failed)
    attend_gate(batch.pk)
    batch.refresh_from_db()


def claimed(batch: Batch) -> list[int]:
    return [index for lease in claim_all(batch) for index in range(lease.lo, lease.hi)]


def states(batch: Batch) -> set[str]:
    return set(batch.chunks.values_list("state", flat=True))


def test_only_the_pilot_can_be_claimed(batch: Batch) -> None:
    assert claimed(batch) == PILOT
    assert states(batch) == {"waiting", "leased"}


def test_a_batch_pauses_when_its_pilot_is_done(batch: Batch) -> None:
    run_pilot(batch, failed=(7, 12))
    assert batch.pause_kind == "pilot"
    assert batch.pause_reason.startswith("pilot of 4 prompts done: 2 failed")
    assert batch.pause_reason.endswith("resume to go on")
    assert current_state(batch).label == "Paused: pilot done"
    assert claimed(batch) == []
    assert not finish_batch(batch.pk)


def test_a_resume_of_this_pause_opens_the_gate(batch: Batch) -> None:
    run_pilot(batch)
    batch_actions.resume_batch(batch)
    assert batch.pause_reason == ""
    assert claimed(batch) == [index for index in range(TOTAL) if index not in PILOT]


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_batch_does_not_pause_while_the_pilot_has_open_chunks(batch: Batch, left: int) -> None:
    store(batch, claim_all(batch)[:-left])
    attend_gate(batch.pk)
    sweep(lambda _: None)
    batch.refresh_from_db()
    assert batch.pause_reason == ""
    # A chunk of a runner that has vanished is open too.
    Chunk.objects.filter(state="leased").update(lease_expires_at=timezone.now() - timedelta(1))
    attend_gate(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_reason == ""


def test_a_resume_during_the_pilot_only_lifts_the_pause(batch: Batch) -> None:
    store(batch, claim_all(batch)[:2])
    batch_actions.pause_batch(batch)
    batch_actions.resume_batch(batch)
    assert batch.pause_reason == ""
    assert batch.chunks.behind_gate().exists()
    Chunk.objects.filter(state="leased").update(state="ready", lease_expires_at=None)
    assert claimed(batch) == PILOT[2:]


def test_a_resume_of_another_pause_shows_a_pilot_that_ended_meanwhile(batch: Batch) -> None:
    leases = claim_all(batch)
    batch_actions.pause_batch(batch)
    store(batch, leases)
    attend_gate(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_kind == "staff"
    batch_actions.resume_batch(batch)
    # Its figures were not shown before.
    assert batch.pause_kind == "pilot"
    assert claimed(batch) == []
    batch_actions.resume_batch(batch)
    assert len(claimed(batch)) == TOTAL - ROWS


def test_the_sweeper_judges_a_pilot_whose_runner_has_vanished(batch: Batch) -> None:
    store(batch, claim_all(batch))
    assert sweep(lambda _: None).enqueued == 0
    batch.refresh_from_db()
    assert batch.pause_kind == "pilot"


def test_a_pause_at_the_gate_keeps_its_reason(batch: Batch) -> None:
    run_pilot(batch)
    batch_actions.pause_batch(batch)
    assert batch.pause_kind == "pilot"


def test_a_batch_is_cancelled_at_its_gate(batch: Batch) -> None:
    run_pilot(batch, failed=(2,))
    batch_actions.cancel_batch(batch)
    check_batch(batch, status="cancelled")
    assert (batch.succeeded, batch.failed) == (3, 1)
    assert batch.results.filter(kind="cancelled").count() == TOTAL - ROWS


def test_a_batch_expires_at_its_gate(batch: Batch) -> None:
    run_pilot(batch)
    Batch.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sweep(lambda _: None).ended == 1
    check_batch(batch, status="expired")
    assert batch.results.filter(kind="expired").count() == TOTAL - ROWS


def test_the_failed_prompts_of_a_pilot_are_retried_at_the_gate(batch: Batch) -> None:
    run_pilot(batch, failed=(7, 12))
    batch_actions.retry_batch(batch)
    assert (batch.pause_reason, batch.succeeded, batch.failed) == ("", 2, 0)
    leases = claim_all(batch)
    assert [lease.lo for lease in leases] == [7, 12]
    # During the retry nothing else may be asked of it.
    with pytest.raises(NotPossible):
        batch_actions.retry_batch(batch)
    batch_actions.resume_batch(batch)
    assert claimed(batch) == []
    store(batch, leases)
    attend_gate(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_reason.startswith("pilot of 4 prompts done: 0 failed")
    batch_actions.resume_batch(batch)
    store(batch, claim_all(batch))
    finish_batch(batch.pk)
    check_batch(batch)
    assert batch.succeeded == TOTAL


def test_a_pilot_without_failures_has_nothing_to_retry(batch: Batch) -> None:
    run_pilot(batch)
    with pytest.raises(NotPossible, match="no prompt of this batch has failed"):
        batch_actions.retry_batch(batch)
    assert batch.chunks.behind_gate().exists()


def test_a_retry_of_a_batch_that_was_cancelled_at_its_gate_waits_again(batch: Batch) -> None:
    run_pilot(batch, failed=(2,))
    batch_actions.cancel_batch(batch)
    batch_actions.retry_batch(batch)
    assert states(batch) == {"ready", "waiting", "done"}
    leases = claim_all(batch)
    assert [(lease.lo, lease.hi) for lease in leases] == [(2, 3)]
    store(batch, leases)
    attend_gate(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_kind == "pilot"
    batch_actions.resume_batch(batch)
    store(batch, claim_all(batch))
    finish_batch(batch.pk)
    check_batch(batch)


def test_a_retry_after_the_gate_runs_what_failed_without_a_second_gate(batch: Batch) -> None:
    run_pilot(batch)
    batch_actions.resume_batch(batch)
    store(batch, claim_all(batch), failed=(0, 3, 19))
    finish_batch(batch.pk)
    check_batch(batch)
    batch_actions.retry_batch(batch, index=3)
    assert [(lease.lo, lease.hi) for lease in claim_all(batch)] == [(3, 5)]
    assert not batch.chunks.behind_gate().exists()


@pytest.mark.parametrize("rows", [TOTAL, TOTAL + 1, 10**6])
def test_a_pilot_of_all_prompts_has_no_gate(provider: Provider, rows: int) -> None:
    batch = batch_of(provider, TOTAL, batch_size=5, pilot=Pilot(rows=rows))
    store(batch, claim_all(batch))
    assert not attend_gate(batch.pk)
    assert finish_batch(batch.pk)
    check_batch(batch)
