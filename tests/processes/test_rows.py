"""Workers write answers into the rows of a project while they are killed."""

import signal
import sys

import pytest

from simulator import Behaviour
from tests.processes.crashing_worker import ROW_POINTS
from tests.processes.stack import SHORT_LEASE_S, Stack

ROWS, WINDOW, RUNNERS, KILLS, CHANGED = 400, 10, 4, 4, 17
# Calls that are answered between two kills.
ANSWERED = 3 * WINDOW
FEW = 60


def start(stack: Stack, **options: object) -> int | None:
    batch: int | None = stack.driver(
        "library", name="start", base_url=stack.simulator.base_url, **options
    )
    return batch


def test_killed_workers_write_each_row_once(library_stack: Stack) -> None:
    stack = library_stack
    stack.driver("library", name="make", number=ROWS)
    before = stack.driver("library", name="others")
    stack.start_sweeper()
    batch = None
    for number in range(KILLS):
        victim = stack.start_worker(f"victim{number}", lease_s=SHORT_LEASE_S)
        with stack.simulator.holding(after=ANSWERED):
            batch = batch or start(stack, batch_size=WINDOW, parallelism=RUNNERS)
            stack.wait_for_calls(stack.simulator.calls.total() + WINDOW)
            stack.kill_in_flight(victim)
        assert batch
        assert stack.driver("library", name="halves", batch=batch) == []
    assert batch
    for number in range(RUNNERS):
        stack.start_worker(f"heir{number}")
    stack.wait_completed(batch)
    # Of each killed worker, what was in flight, and what it had not stored yet.
    stack.check(batch, most_calls=ROWS + KILLS * (RUNNERS * WINDOW + ANSWERED))
    assert stack.driver("library", name="halves", batch=batch) == []
    assert stack.driver("library", name="unanswered") == 0
    assert stack.driver("library", name="others") == before
    # A second time there is nothing to ask; then about what has changed.
    calls = stack.simulator.calls.total()
    assert start(stack, only_changed=True) is None
    stack.driver("library", name="change", number=CHANGED)
    again = start(stack, only_changed=True)
    assert again
    stack.wait_completed(again)
    assert stack.simulator.calls.total() == calls + CHANGED
    assert stack.driver("library", name="unanswered") == 0


@pytest.mark.parametrize("point", ROW_POINTS)
def test_a_crash_in_the_write_back_leaves_both_or_neither(library_stack: Stack, point: str) -> None:
    stack = library_stack
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.4")
    stack.driver("library", name="make", number=FEW)
    # Some rows are written before.
    times = 15 if point.endswith("a_row") else 2
    crashing = stack._start(
        *(sys.executable, "-m", "tests.processes.crashing_worker", "worker"),
        *("--pool", "threads", "--concurrency", "4", "-n", "crashing@%h"),
        *("--without-gossip", "--without-mingle", "-l", "WARNING"),
        CRASH_AT=f"{point}:{times}",
        LEASE_SECONDS=str(SHORT_LEASE_S),
    )
    batch = start(stack, batch_size=WINDOW)
    assert batch
    stack.wait_until(lambda: not crashing.running, f"the crash at {point}")
    assert crashing.wait() == -signal.SIGKILL
    assert stack.driver("library", name="halves", batch=batch) == []
    stack.start_worker("next")
    stack.start_sweeper()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=FEW + 3 * WINDOW)
    assert stack.driver("library", name="halves", batch=batch) == []
    assert stack.driver("library", name="unanswered") == 0
