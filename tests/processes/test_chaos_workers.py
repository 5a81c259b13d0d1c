"""Workers are killed, frozen and told to go, in the middle of their calls."""

import random
import time

import pytest

from simulator import Behaviour
from tests.owned_process import OwnedProcess
from tests.processes.stack import GRACE_SECONDS, SHORT_LEASE_S, Stack

WINDOW = 16
KILLS = 8
# More than can be done while workers are killed.
MANY = 2000
SWEEP_S = 0.5


def test_nothing_is_lost_when_random_workers_are_killed(stack: Stack) -> None:
    """A1, A2: a SIGKILL every second, and a new worker in the place of the dead."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.5,1.5")
    # One run in each: otherwise one may have them all, and most kills hit idle ones.
    workers = [start_victim(stack, f"first{number}") for number in range(3)]
    stack.start_sweeper()
    batch = stack.create_batch(MANY, batch_size=WINDOW, parallelism=3)
    kills = 0
    # On a busy machine many hit workers that are not up yet; those alone would prove nothing.
    while kills < KILLS or stack.simulator.by_status["abandoned"] < 2:
        assert stack.stored(batch) < MANY, "it ended before enough calls were cut off"
        strike(stack, workers)
        kills += 1
    stack.simulator.behaviour = Behaviour()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=MANY + kills * 3 * WINDOW)
    assert stack.repeated_calls > 0
    # Killed by somebody else, prompts are not to blame.
    assert stack.driver("kinds", batch=batch) == {"": MANY}


def strike(stack: Stack, workers: list[OwnedProcess]) -> None:
    """Kill a random worker a second from now."""
    strike_at = time.monotonic() + 1.0
    stack.wait_until(lambda: time.monotonic() >= strike_at, "a second")
    stack.wait_for_calls(1)
    # Random as workers are for a user, so that no order of starting is favoured.
    victim = workers.pop(random.randrange(len(workers)))
    victim.kill()
    workers.append(start_victim(stack, f"w{len(stack.processes)}"))


def start_victim(stack: Stack, name: str) -> OwnedProcess:
    return stack.start_worker(name, concurrency=1, lease_s=SHORT_LEASE_S)


def test_a_worker_that_was_frozen_changes_nothing_when_it_comes_back(stack: Stack) -> None:
    """A3: SIGSTOP for longer than the lease, and its work is done by another meanwhile."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.2,0.4")
    frozen = stack.start_worker("frozen", lease_s=SHORT_LEASE_S)
    with stack.simulator.holding(after=2 * WINDOW):
        batch = stack.create_batch(200, batch_size=WINDOW)
        stack.wait_for_calls(3 * WINDOW)
        stack.freeze(frozen)
        assert stack.simulator.in_flight
    other = stack.start_worker("other")
    stack.start_sweeper()
    stack.wait_completed(batch)
    before = stack.driver("results", batch=batch), stack.status(batch)
    other.kill()
    frozen.resume()
    # It is well, and only that it had lost its chunk stopped it from writing.
    second = stack.create_batch([f"second {number}" for number in range(40)], batch_size=WINDOW)
    stack.wait_completed(second)
    assert (stack.driver("results", batch=batch), stack.status(batch)) == before
    stack.check(second, most_calls=240 + 3 * WINDOW)
    stack.check(batch, most_calls=240 + 3 * WINDOW)
    assert stack.repeated_calls > 0


def test_a_worker_that_was_frozen_loses_its_chunk_while_the_batch_goes_on(stack: Stack) -> None:
    """A3: it comes back among others that are at work on what it had."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.2,0.4")
    frozen = stack.start_worker("frozen", lease_s=SHORT_LEASE_S)
    batch = stack.create_batch(600, batch_size=WINDOW)
    stack.wait_for_calls(3 * WINDOW)
    stack.freeze(frozen)
    stack.start_worker("other")
    stack.start_sweeper()
    stack.wait_until(lambda: taken_over(stack, batch), "another takes the chunks")
    frozen.resume()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=600 + 3 * WINDOW)


def taken_over(stack: Stack, batch: int) -> bool:
    chunks = stack.driver("chunks", batch=batch)
    return any(chunk["crashes"] for chunk in chunks)


# The long ones take longer than the lease.
@pytest.mark.parametrize("latency", ["uniform:0.5,1.0", "fixed:3"], ids=["short", "long"])
def test_a_worker_that_is_told_to_go_finishes_its_calls_and_goes(
    stack: Stack, latency: str
) -> None:
    """A5: SIGTERM; what can end within the grace period is not called again."""
    stack.simulator.behaviour = Behaviour(latency=latency)
    leaving = stack.start_worker("leaving", GRACE_SECONDS="45", lease_s=SHORT_LEASE_S)
    with stack.simulator.holding():
        batch = stack.create_batch(60, batch_size=WINDOW)
        stack.wait_for_calls(WINDOW)
        leaving.terminate()
        stack.wait_until(lambda: "shutdown" in leaving.output, "its word that it goes")
    assert leaving.wait() == 0
    calls = stack.simulator.calls.total()
    assert stack.stored(batch) == calls < 60
    assert {chunk["state"] for chunk in stack.driver("chunks", batch=batch)} <= {"ready", "done"}
    assert all(chunk["crashes"] == 0 for chunk in stack.driver("chunks", batch=batch))
    stack.simulator.behaviour = Behaviour()
    stack.start_worker("next")
    stack.driver("sweep")
    stack.wait_completed(batch)
    stack.check(batch, most_calls=60)
    assert stack.repeated_calls == 0


def test_a_worker_that_is_told_to_go_waits_no_longer_than_the_grace_period(stack: Stack) -> None:
    """A5: calls that take longer are given up, and made again by another."""
    stack.simulator.behaviour = Behaviour(latency="fixed:600")
    leaving = stack.start_worker("leaving")
    batch = stack.create_batch(8, batch_size=8)
    stack.wait_for_calls(8)
    leaving.terminate()
    # Ten times longer than the grace period, and as much shorter than its calls.
    assert leaving.wait(10 * GRACE_SECONDS) == 0
    assert [chunk["state"] for chunk in stack.driver("chunks", batch=batch)] == ["ready"]
    stack.simulator.behaviour = Behaviour()
    stack.start_worker("next")
    stack.driver("sweep")
    stack.wait_completed(batch)
    stack.check(batch, most_calls=16)


def test_a_prompt_that_kills_every_worker_fails_and_its_neighbours_finish(stack: Stack) -> None:
    """Fault 31: whoever sends it dies, seen from outside; the machine is to blame at first."""
    poison = "poison [simulate: latency=30]"
    texts = [f"prompt {number}" for number in range(24)]
    texts[7] = poison
    stack.start_sweeper()
    batch = stack.create_batch(texts, batch_size=8)
    kills = 0
    while poison_is_sent_again(stack, batch, poison, kills):
        assert kills < 8, "the poison prompt is sent again and again"
        # The others of its window have arrived, too: they are in doubt like the culprit.
        stack.kill_in_flight(stack.processes[-1])
        kills += 1
    assert stack.driver("failures", batch=batch) == {"7": "worker_crashed"}
    assert stack.simulator.calls[poison] == kills >= 3
    stack.check(batch, most_calls=24 + kills * 3 * 8)


def poison_is_sent_again(stack: Stack, batch: int, poison: str, kills: int) -> bool:
    """Start a worker, and wait until it is poisoned; False if the batch completes instead."""
    stack.start_worker(f"victim{kills}", lease_s=SHORT_LEASE_S)
    stack.wait_until(
        lambda: (
            stack.simulator.calls[poison] > kills or stack.status(batch)["status"] == "completed"
        ),
        "the next call of the poison prompt, or the end",
    )
    return stack.simulator.calls[poison] > kills


def test_work_goes_on_after_a_kill(stack: Stack) -> None:
    """I5: nobody has to do anything. How soon it does is measured by `benchmarks workers`."""
    victim = stack.start_worker("victim", lease_s=SHORT_LEASE_S)
    # The victim does not get on until the heir is up.
    with stack.simulator.holding("prompt", after=WINDOW):
        batch = stack.create_batch(300, batch_size=WINDOW)
        stack.wait_for_calls(2 * WINDOW)
        stack.start_sweeper(SWEEP_S)
        stack.start_worker("heir")
        other = stack.create_batch(["something else"])
        stack.wait_completed(other)
        stack.kill_in_flight(victim)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=301 + 3 * WINDOW)
