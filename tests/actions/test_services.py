from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from batches.actions import batches as batch_actions
from batches.actions.options import BatchOptions
from batches.conf import conf
from batches.ending.purging import purge
from batches.engine.errors import FailureKind
from batches.errors import NotPossible
from batches.inputs.prompts import LineError
from batches.intake.reading import PATIENT_LEASES
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch, Chunk, Prompt, Provider, Result, Slot
from batches.runner.run import run_slice
from batches.runner.turns import next_turn
from batches.workers.sweeper import sweep
from simulator import SimulatedProvider
from tests.admin.makers import ended_batch
from tests.checker import check_batch
from tests.makers import batch_of


def not_enqueued(_: int) -> None:
    raise AssertionError("nothing waits, so nothing is enqueued")


def test_retry_runs_only_what_failed(provider: Provider, simulator: SimulatedProvider) -> None:
    texts = ["a", "[simulate: status=400 times=1] b", "c", "[simulate: status=400] d"]
    batch = batch_of(provider, texts, batch_size=2)
    run_slice(batch.pk)
    kept = Result.objects.get(batch=batch, index=0).done_at
    batch_actions.retry_batch(batch)
    assert (batch.status, batch.succeeded, batch.failed) == ("in_progress", 2, 0)
    assert batch.completed_at is None
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert (batch.succeeded, batch.failed) == (3, 1)
    assert [simulator.calls[text] for text in texts] == [1, 2, 1, 2]
    assert Result.objects.get(batch=batch, index=0).done_at == kept


def test_a_retry_of_what_a_command_has_run_is_for_the_workers(provider: Provider) -> None:
    batch = batch_of(provider, ["[simulate: status=400 times=1] b"], in_background=False)
    run_slice(batch.pk)
    batch_actions.retry_batch(batch)
    assert list(Batch.objects.waiting()) == [batch]


def test_retry_runs_what_was_cancelled_or_expired(provider: Provider) -> None:
    batch = batch_of(provider, 4, batch_size=2, completion_window=timedelta(hours=1))
    now = timezone.now()
    Batch.objects.update(created_at=now - timedelta(hours=1), expires_at=now)
    sweep(not_enqueued)
    check_batch(batch, status="expired")
    batch_actions.retry_batch(batch)
    assert batch.expires_at
    assert batch.expires_at > timezone.now() + timedelta(minutes=50)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert batch.succeeded == 4


@pytest.mark.parametrize("ends_as", ["expired", "completed"])
def test_retry_of_kinds_leaves_all_others(
    provider: Provider, simulator: SimulatedProvider, ends_as: str
) -> None:
    texts = ["a", "[simulate: status=400 times=1] b", "[simulate: status=500] c", "d"]
    batch = batch_of(provider, texts, batch_size=2, max_attempts=1)
    run_slice(batch.pk)
    # The last one was never sent: the batch expired before, or was cancelled.
    kind = FailureKind.EXPIRED if ends_as == "expired" else FailureKind.CANCELLED
    Result.objects.filter(batch=batch, index=3).update(kind=kind, status=Result.FAILED)
    Batch.objects.filter(pk=batch.pk).update(
        status=BatchStatus.EXPIRED if ends_as == "expired" else BatchStatus.CANCELLED, succeeded=1
    )
    batch_actions.retry_batch(batch, kinds=[FailureKind.REQUEST])
    assert (batch.status, batch.succeeded, batch.failed) == ("in_progress", 1, 1)
    assert run_slice(batch.pk).ended
    batch.refresh_from_db()
    assert (batch.status, batch.succeeded, batch.failed) == (ends_as, 2, 1)
    assert [simulator.calls[text] for text in texts] == [1, 2, 1, 1]
    batch_actions.retry_batch(batch, kinds=[kind])
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert [simulator.calls[text] for text in texts] == [1, 2, 1, 2]


def test_retry_needs_an_ended_batch_with_something_to_retry(provider: Provider) -> None:
    batch = batch_of(provider, 2)
    with pytest.raises(NotPossible, match="no prompt"):
        batch_actions.retry_batch(batch)
    batch_actions.cancel_batch(batch)
    batch_actions.retry_batch(batch)
    Result.objects.create(
        prompt=Prompt.objects.get(batch=batch, index=0),
        batch=batch,
        index=0,
        status="failed",
        kind="server",
        input_tokens=0,
        output_tokens=0,
        calls=1,
        elapsed_s=0,
        done_at=timezone.now(),
    )
    with pytest.raises(NotPossible, match="in_progress"):
        batch_actions.retry_batch(batch)
    assert Result.objects.count() == 1


def test_cancel_ends_a_batch_that_nobody_works_on_at_once(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    assert batch_actions.cancel_batch(batch).status == "cancelled"
    assert batch_actions.cancel_batch(batch).status == "cancelled"
    assert set(batch.results.values_list("kind", flat=True)) == {FailureKind.CANCELLED}


def test_a_completed_batch_cannot_be_cancelled(provider: Provider) -> None:
    batch = batch_of(provider, 1)
    run_slice(batch.pk)
    with pytest.raises(NotPossible, match="Cannot cancel a batch with status 'completed'"):
        batch_actions.cancel_batch(batch)


def test_delete_takes_everything_of_an_ended_batch_and_nothing_else(provider: Provider) -> None:
    kept, batch = batch_of(provider, 3), batch_of(provider, 3)
    with pytest.raises(NotPossible, match="cancel it first"):
        batch_actions.delete_batch(batch)
    batch_actions.cancel_batch(batch)
    batch_actions.delete_batch(batch)
    for model in (Prompt, Result, Chunk, Slot):
        assert set(model._default_manager.values_list("batch", flat=True)) <= {kept.pk}
    assert list(Batch.objects.all()) == [kept]


def test_a_purge_that_was_interrupted_is_finished_by_the_sweeper(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    batch_actions.cancel_batch(batch)
    Batch.objects.update(deleted_at=timezone.now())
    Result.objects.filter(index=0).delete()
    assert sweep(not_enqueued).purged == 1
    assert not Prompt.objects.exists()
    assert not Batch.objects.exists()


def test_a_batch_that_was_not_deleted_is_not_purged(provider: Provider) -> None:
    batch = batch_of(provider, 3)
    purge(batch.pk)
    assert Prompt.objects.count() == 3


def test_the_sweeper_rings_for_what_waits_and_for_nothing_else(provider: Provider) -> None:
    waiting, paused, taken, mine = (batch_of(provider, 2) for _ in range(4))
    Batch.objects.filter(pk=paused.pk).update(pause_reason="auth: refused")
    Batch.objects.filter(pk=mine.pk).update(in_background=False)
    soon = timezone.now() + timedelta(minutes=1)
    Slot.objects.filter(batch=taken).update(lease_expires_at=soon)
    enqueued: list[int] = []
    assert sweep(enqueued.append).enqueued == 1
    assert enqueued == [waiting.pk]


def test_the_sweeper_rings_for_every_runner_that_finds_work(provider: Provider) -> None:
    busy = batch_of(provider, 6, batch_size=1, parallelism=4)
    small = batch_of(provider, 2, batch_size=1, parallelism=4)
    soon = timezone.now() + timedelta(minutes=1)
    Slot.objects.filter(batch=busy, number=0).update(lease_expires_at=soon)
    enqueued: list[int] = []
    sweep(enqueued.append)
    assert Counter(enqueued) == {busy.pk: 3, small.pk: 2}


def test_the_sweeper_removes_what_a_creator_that_vanished_has_stored(provider: Provider) -> None:
    vanished, silent, reading = (batch_of(provider, 1) for _ in range(3))
    Batch.objects.update(status="validating", total=0)
    for batch, leases in (
        (vanished, PATIENT_LEASES + 1),
        (silent, PATIENT_LEASES - 1),
        (reading, -1),
    ):
        end = timezone.now() - timedelta(seconds=leases * conf().LEASE_SECONDS)
        Batch.objects.filter(pk=batch.pk).update(ingest_expires_at=end)
    assert sweep(not_enqueued).purged == 1
    assert set(Prompt.objects.values_list("batch", flat=True)) == {silent.pk, reading.pk}
    assert set(Batch.objects.all()) == {silent, reading}


def test_an_input_that_is_refused_leaves_nothing(provider: Provider) -> None:
    with pytest.raises(Exception, match="1 lines are invalid"):
        batch_actions.create_batch(
            provider, [LineError(1, "invalid_json_line", "no")], BatchOptions()
        )
    assert not Slot.objects.exists()


def test_turns_go_by_priority_and_then_to_who_has_fewest_runners(
    provider: Provider, django_user_model: type
) -> None:
    greedy = django_user_model.objects.create(username="greedy")  # type: ignore[attr-defined]  # the manager of users
    modest = django_user_model.objects.create(username="modest")  # type: ignore[attr-defined]  # the manager of users
    running, second, third, urgent = (
        batch_of(provider, 4, batch_size=1, parallelism=2) for _ in range(4)
    )
    Batch.objects.filter(pk__in=[running.pk, second.pk]).update(owner=greedy)
    Batch.objects.filter(pk=third.pk).update(owner=modest)
    Batch.objects.filter(pk=urgent.pk).update(priority=5, owner=greedy)
    soon = timezone.now() + timedelta(minutes=1)
    Slot.objects.filter(batch=running, number=0).update(lease_expires_at=soon)

    order = []
    while (turn := next_turn()) is not None:
        order.append(turn)
        Chunk.objects.filter(batch=turn).update(state="done")
    assert order == [urgent.pk, third.pk, second.pk, running.pk]


def test_a_pause_holds_until_somebody_resumes(provider: Provider) -> None:
    batch = batch_of(provider, 2)
    batch_actions.pause_batch(batch)
    assert (batch.pause_kind, batch.pause_reason) == (PauseKind.STAFF, "by staff")
    assert not Batch.objects.waiting().exists()
    batch_actions.resume_batch(batch)
    assert list(Batch.objects.waiting()) == [batch]
    batch_actions.cancel_batch(batch)
    with pytest.raises(NotPossible, match="Cannot pause a batch with status 'cancelled'"):
        batch_actions.pause_batch(batch)


def test_one_prompt_is_retried_alone(provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b", "c"], failed={0: "x", 2: "y"})
    batch_actions.retry_batch(batch, index=2)
    assert (batch.status, batch.failed) == (BatchStatus.IN_PROGRESS, 1)
    left = batch.results.order_by("index").values_list("index", "status")
    assert list(left) == [(0, "failed"), (1, "succeeded")]
    other = ended_batch(provider, ["a", "b"], failed={0: "x"})
    with pytest.raises(NotPossible, match="no prompt of this batch has failed"):
        batch_actions.retry_batch(other, index=1)


def test_a_pause_keeps_the_reason_of_an_earlier_one(provider: Provider) -> None:
    batch = batch_of(provider, 2)
    budget = {"pause_kind": PauseKind.BUDGET, "pause_reason": "spending limit reached"}
    Batch.objects.filter(pk=batch.pk).update(**budget)
    batch_actions.pause_batch(batch)
    assert (batch.pause_kind, batch.pause_reason) == tuple(budget.values())
