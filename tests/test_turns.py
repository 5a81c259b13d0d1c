"""Whose turn it is: what a worker does that is rung."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from batches import tasks
from batches.leases import claim_chunk, claim_slot
from batches.models import Batch, Provider
from tests.checker import check_batch
from tests.makers import batch_of

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
    assert tasks.next_turn() == third.pk
    assert tasks.next_turn(besides={third.pk}) == second.pk
    assert tasks.next_turn(besides={third.pk, second.pk}) == first.pk
    assert tasks.next_turn(besides={third.pk, second.pk, first.pk}) is None


def test_owners_take_turns_however_many_batches_they_have(provider: Provider) -> None:
    many, few = (User.objects.create(username=name) for name in ("many", "few"))
    batches = [batch_of(provider, 2) for _ in range(3)]
    Batch.objects.update(owner=many)
    single = batch_of(provider, 2)
    Batch.objects.filter(pk=single.pk).update(owner=few)
    begin(batches[0])
    assert tasks.next_turn() == single.pk


@pytest.mark.parametrize("make_unready", [begin, take_all])
def test_a_batch_without_a_place_or_without_work_has_no_turn(
    provider: Provider, make_unready: Callable[[Batch], None]
) -> None:
    full, waiting = (batch_of(provider, 2, parallelism=1) for _ in range(2))
    give_priority(full)
    assert tasks.next_turn() == full.pk
    make_unready(full)
    assert tasks.next_turn() == waiting.pk


def test_who_is_too_late_for_one_batch_goes_on_to_the_next(provider: Provider) -> None:
    taken, waiting = (batch_of(provider, 2, parallelism=1) for _ in range(2))
    begin(taken)
    assert tasks._work(taken.pk)
    check_batch(waiting)


def test_a_provider_that_cannot_be_called_costs_the_others_no_turn(provider: Provider) -> None:
    broken = Provider.objects.create(name="b", base_url=provider.base_url, api_key_env="NOT_SET")
    stopped, waiting = batch_of(broken, 2), batch_of(provider, 2)
    give_priority(stopped)
    tasks.run_batch(stopped.pk)
    check_batch(waiting)
    broken.refresh_from_db()
    assert broken.pause_reason.startswith("config: ")
