"""A worker that dies at each named point: nothing is lost, nothing is recorded twice (A2)."""

import signal
import sys

import pytest

from simulator import Behaviour
from simulator.answers import answer_text
from tests.owned_process import OwnedProcess
from tests.processes.crashing_worker import POINTS
from tests.processes.stack import SHORT_LEASE_S, Stack

PROMPTS = 60
WINDOW = 10


def start_crashing_worker(stack: Stack, point: str) -> OwnedProcess:
    # The second time, so that something has been done by then; a batch is finished but once.
    times = 1 if point == "before_finish" else 2
    return stack._start(
        *(sys.executable, "-m", "tests.processes.crashing_worker", "worker"),
        *("--pool", "threads", "--concurrency", "4", "-n", "crashing@%h"),
        *("--without-gossip", "--without-mingle", "-l", "WARNING"),
        CRASH_AT=f"{point}:{times}",
        LEASE_SECONDS=str(SHORT_LEASE_S),
    )


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_at_any_point_loses_and_repeats_nothing_that_is_stored(
    postgres_stack: Stack, point: str
) -> None:
    stack = postgres_stack
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.4")
    crashing = start_crashing_worker(stack, point)
    batch = stack.create_batch(PROMPTS, batch_size=WINDOW)
    stack.wait_until(lambda: not crashing.running, f"the crash at {point}")
    assert crashing.wait() == -signal.SIGKILL
    kept = stack.driver("results", batch=batch)
    stack.start_worker("next")
    stack.start_sweeper()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=PROMPTS + 3 * WINDOW)
    # What was stored before the crash is there as it was.
    after = {row[0]: row for row in stack.driver("results", batch=batch)}
    assert all(after[row[0]] == row for row in kept)
    # And in the end there is what a run without a crash brings: each prompt has its own answer.
    clean = [answer_text(0, f"prompt {number}") for number in range(PROMPTS)]
    assert stack.driver("answers", batch=batch) == clean
