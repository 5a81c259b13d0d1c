"""What the database does for a prompt does not grow with the number of prompts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from batches.limits.rules import Rules
from batches.models import Provider
from batches.runner.turns import next_turn
from simulator import SimulatedProvider
from tests.makers import batch_of
from tests.runners import ended

FEW, MANY = 300, 2_400
STEPS_AT_ONCE = 100


@contextmanager
def steps_counted() -> Iterator[Callable[[], int]]:
    """Count the steps of SQLite's virtual machine, which depend on no clock."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(tick, STEPS_AT_ONCE)
    try:
        yield lambda: ticks * STEPS_AT_ONCE
    finally:
        connection.connection.set_progress_handler(None, STEPS_AT_ONCE)


def steps_of_prompt(provider: Provider, number: int, name: str, changes: dict[str, Any]) -> float:
    texts = [f"{name} {number}: {n}" for n in range(number)]
    batch = batch_of(provider, texts, **changes)
    with steps_counted() as steps:
        ended(batch)
    assert batch.total == number
    return steps() / number


def test_finding_work_takes_no_longer_among_many_ended_batches(provider: Provider) -> None:
    def steps_of_turn() -> int:
        with steps_counted() as steps:
            assert next_turn() is None
        return steps()

    first = batch_of(provider, 1)
    ended(first)
    few = steps_of_turn()
    for _ in range(50):
        ended(batch_of(provider, 1))
    assert steps_of_turn() <= few + STEPS_AT_ONCE


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("plain", {}),
        ("reuse in the batch", {"reuse": "batch"}),
        ("reuse of the owner", {"reuse": "owner"}),
        ("order by beginnings", {"order": "prefix"}),
        ("rules", {"stop_when": Rules(max_failed=0.5)}),
        ("lockstep", {"schedule": "lockstep"}),
    ],
)
def test_eight_times_as_many_prompts_take_eight_times_the_work(
    provider: Provider, simulator: SimulatedProvider, name: str, changes: dict[str, Any]
) -> None:
    few, many = (steps_of_prompt(provider, number, name, changes) for number in (FEW, MANY))
    assert 0 < many < 1.3 * few
