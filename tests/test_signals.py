"""Signals: each is sent once, after the commit of its cause, and a receiver can break nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.dispatch import Signal

from batches import signals
from batches.actions.batches import cancel_batch, pause_batch, resume_batch, retry_batch
from batches.actions.options import Pilot
from batches.models import Batch, Prompt, Provider
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from tests.makers import batch_of
from tests.runners import ended, run_with

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def heard(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """Collect what a signal is sent with."""
    found: list[dict[str, Any]] = []

    def hear(sender: type[Any], signal: Signal, **values: Any) -> None:
        del signal
        assert sender is Batch
        # It is sent by a thread that is in no transaction.
        assert not transaction.get_connection().in_atomic_block
        found.append(values)

    signal.connect(hear)
    try:
        yield found
    finally:
        signal.disconnect(hear)


def test_the_start_and_the_end_of_a_batch(provider: Provider) -> None:
    with heard(signals.batch_started) as starts, heard(signals.batch_ended) as ends:
        batch = batch_of(provider, ["a", "b [simulate: status=400 times=1]"])
        assert (starts, ends) == ([{"batch_id": batch.pk}], [])
        ended(batch)
        retry_batch(batch)
        ended(batch)
    assert starts == [{"batch_id": batch.pk}]
    assert ends == [{"batch_id": batch.pk, "status": "completed"}] * 2


def test_a_batch_that_is_rolled_back_has_not_started(provider: Provider) -> None:
    with heard(signals.batch_started) as starts, transaction.atomic():
        batch_of(provider, 3)
        transaction.set_rollback(True)
    assert starts == []


@pytest.mark.parametrize("reuse", ["off", "batch"])
def test_each_prompt_finishes_once_and_many_in_one_signal(provider: Provider, reuse: str) -> None:
    texts = [f"prompt {number % 30}" for number in range(60)]
    batch = batch_of(provider, texts, batch_size=20, parallelism=2, reuse=reuse)
    with heard(signals.prompt_finished) as stores:
        run_with(2, batch)
        ended(batch)
    finished = [pk for store in stores for pk in store["prompt_ids"]]
    assert sorted(finished) == sorted(Prompt.objects.values_list("pk", flat=True))
    assert len(stores) < len(finished)


def test_a_prompt_that_never_ran_finishes_too(provider: Provider) -> None:
    batch = batch_of(provider, 5, batch_size=2)
    with heard(signals.prompt_finished) as stores, heard(signals.batch_ended) as ends:
        cancel_batch(batch)
    assert sorted(len(store["prompt_ids"]) for store in stores) == [1, 2, 2]
    assert ends == [{"batch_id": batch.pk, "status": "cancelled"}]


def test_a_pause_by_staff(provider: Provider) -> None:
    batch = batch_of(provider, 1)
    with heard(signals.batch_paused) as pauses, heard(signals.budget_spent) as spent:
        pause_batch(batch)
        pause_batch(batch)
    assert pauses == [{"batch_id": batch.pk, "kind": "staff", "reason": "by staff"}]
    assert spent == []


def test_a_pause_at_the_gate_of_a_pilot(provider: Provider) -> None:
    batch = batch_of(provider, 10, pilot=Pilot(rows=2), batch_size=2)
    with heard(signals.batch_paused) as pauses:
        run_slice(batch.pk)
        run_slice(batch.pk)
    [pause] = pauses
    assert (pause["batch_id"], pause["kind"]) == (batch.pk, "pilot")


def test_a_budget_that_is_spent(provider: Provider) -> None:
    batch = batch_of(provider, 50, batch_size=1, max_tokens_total=100)
    with heard(signals.budget_spent) as spent, heard(signals.batch_paused) as pauses:
        run_slice(batch.pk)
        run_slice(batch.pk)
        assert [one["batch_id"] for one in spent] == [batch.pk]
        resume_batch(batch, max_tokens_total=10**6)
        ended(batch)
    assert [(one["kind"], one["reason"]) for one in pauses] == [("budget", spent[0]["reason"])]
    assert len(spent) == 1


def test_a_receiver_that_fails_changes_nothing(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("no receiver")

    for signal in (signals.prompt_finished, signals.batch_ended):
        signal.connect(fail)
    try:
        batch = ended(batch_of(provider, 5))
    finally:
        for signal in (signals.prompt_finished, signals.batch_ended):
            signal.disconnect(fail)
    assert (batch.status, batch.succeeded) == ("completed", 5)
    assert simulator.calls.total() == 5
