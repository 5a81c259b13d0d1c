"""Whose turn it is: what a worker does that is rung."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import connection

from batches import tasks
from batches.actions import batches as batch_actions
from batches.leases.chunks import claim_slot
from batches.models import Batch, Provider, Result
from batches.runner import turns
from batches.runner.run import SliceLimits, run_slice
from batches.runner.turns import next_turn
from batches.stop_signal import StopSignal
from batches.workers import sweeper
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.makers import batch_of, claim_chunk
from tests.waiting import wait_until

LONG_S = 600.0


def begin(batch: Batch) -> None:
    """Become a runner of a batch and stay it."""
    assert claim_slot(batch.pk, seconds=LONG_S, runner="another")


def take_all(batch: Batch) -> None:
    while claim_chunk(batch.pk, seconds=LONG_S):
        pass


def give_priority(batch: Batch) -> None:
    Batch.objects.filter(pk=batch.pk).update(priority=1)


def test_the_batch_that_has_waited_longest_is_next(provider: Provider) -> None:
    first, second, third = (batch_of(provider, 2) for _ in range(3))
    Batch.objects.filter(pk=first.pk).update(active_until=2_000.0)
    Batch.objects.filter(pk=second.pk).update(active_until=1_000.0)
    assert next_turn() == third.pk
    assert next_turn(besides={third.pk}) == second.pk
    assert next_turn(besides={third.pk, second.pk}) == first.pk
    assert next_turn(besides={third.pk, second.pk, first.pk}) is None


def test_owners_take_turns_however_many_batches_they_have(provider: Provider) -> None:
    many, few = (User.objects.create(username=name) for name in ("many", "few"))
    batches = [batch_of(provider, 2) for _ in range(3)]
    Batch.objects.update(owner=many)
    single = batch_of(provider, 2)
    Batch.objects.filter(pk=single.pk).update(owner=few)
    begin(batches[0])
    assert next_turn() == single.pk


@pytest.mark.parametrize("make_unready", [begin, take_all])
def test_a_batch_without_a_place_or_without_work_has_no_turn(
    provider: Provider, make_unready: Callable[[Batch], None]
) -> None:
    full, waiting = (batch_of(provider, 2, parallelism=1) for _ in range(2))
    give_priority(full)
    assert next_turn() == full.pk
    make_unready(full)
    assert next_turn() == waiting.pk


def test_who_is_too_late_for_one_batch_goes_on_to_the_next(provider: Provider) -> None:
    taken, waiting = (batch_of(provider, 2, parallelism=1) for _ in range(2))
    begin(taken)
    assert turns._work(taken.pk, StopSignal())
    check_batch(waiting)


def test_a_provider_that_cannot_be_called_costs_the_others_no_turn(provider: Provider) -> None:
    broken = Provider.objects.create(name="b", base_url=provider.base_url, api_key_env="NOT_SET")
    stopped, waiting = batch_of(broken, 2), batch_of(provider, 2)
    give_priority(stopped)
    tasks.run_batch(stopped.pk)
    check_batch(waiting)
    broken.refresh_from_db()
    assert broken.pause_reason.startswith("config: ")


def test_a_batch_that_breaks_down_costs_the_others_no_turn(provider: Provider) -> None:
    # Prices that no form would store.
    broken = Provider.objects.create(name="b", base_url=provider.base_url, prices=[1])
    stopped, waiting = batch_of(broken, 2), batch_of(provider, 2)
    Batch.objects.filter(pk=stopped.pk).update(max_cost=1, priority=1)
    tasks.run_batch(stopped.pk)
    check_batch(waiting)


def test_a_batch_that_cannot_be_ended_costs_the_others_no_sweep(provider: Provider) -> None:
    stuck, waiting = batch_of(provider, 2), batch_of(provider, 2)
    assert run_slice(stuck.pk).ended
    Batch.objects.filter(pk=stuck.pk).update(status="finalizing")
    # What no JSON holds, so that the report cannot be stored.
    Result.objects.filter(batch=stuck, index=0).update(latency_s=float("inf"))
    rung: list[int] = []
    sweeper.sweep(rung.append)
    assert rung == [waiting.pk]


def test_a_batch_that_is_gone_is_nobody_s_turn(provider: Provider) -> None:
    gone, waiting = batch_of(provider, 2), batch_of(provider, 2)
    pk = gone.pk
    gone.delete()
    assert turns._work(pk, StopSignal())
    check_batch(waiting)


@pytest.mark.parametrize("status", [400, 404])
def test_room_is_made_when_it_is_known_whose_fault_refusals_are(
    provider: Provider, simulator: SimulatedProvider, status: int
) -> None:
    simulator.behaviour = Behaviour(latency="fixed:0.4")
    # A missing model that was never answered would pause the batch.
    answered = ["hello"] if status == 404 else []
    prompts = [*answered, *[f"[simulate: status={status}]"] * 8]
    refused = batch_of(provider, prompts, batch_size=1)
    batch_of(provider, 1)
    # Its time is over while they are refused, and after the first answer even on a busy machine.
    report = run_slice(refused.pk, limits=SliceLimits(slice_s=2))
    assert report.ended
    assert simulator.calls.total() == len(prompts)


@pytest.mark.django_db(transaction=True)
def test_where_there_is_one_place_the_higher_priority_has_it(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    Provider.objects.update(max_in_flight=1)
    simulator.behaviour = Behaviour(latency="fixed:0.1")
    low = batch_of(provider, 200, batch_size=10)
    with ThreadPoolExecutor() as threads:
        running = threads.submit(slice_of_one, low)
        wait_until(lambda: simulator.calls.total() > 1)
        high = batch_of(provider, 2, priority=5)
        threads.submit(slice_of_one, high).result()
        check_batch(high)
        low.refresh_from_db()
        assert low.status == "in_progress"
        batch_actions.cancel_batch(low)
        running.result()


def slice_of_one(batch: Batch) -> None:
    try:
        run_slice(batch.pk)
    finally:
        connection.close()
