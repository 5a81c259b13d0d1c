"""The broker is away, hangs, forgets everything, or says everything fifty times."""

from collections.abc import Callable

import pytest

from simulator import Behaviour
from tests.processes.stack import ON_POSTGRESQL, SHORT_LEASE_S, Stack
from tests.servers import RedisServer

pytestmark = ON_POSTGRESQL

WINDOW = 16
SWEEP_S = 0.5


@pytest.mark.parametrize(
    ("take_away", "give_back"),
    [(RedisServer.stop, RedisServer.start), (RedisServer.pause, RedisServer.resume)],
    ids=["stopped", "hanging"],
)
def test_a_batch_can_be_created_while_the_broker_is_away(
    stack: Stack,
    take_away: Callable[[RedisServer], None],
    give_back: Callable[[RedisServer], None],
) -> None:
    """A6: it is there before the broker is back, and the sweeper rings later."""
    stack.start_worker("one")
    first = stack.create_batch(["a worker that knows its broker"])
    stack.wait_completed(first)
    take_away(stack.broker)
    batch = stack.create_batch(100, batch_size=WINDOW)
    give_back(stack.broker)
    stack.start_sweeper(SWEEP_S)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=101)


def test_work_goes_on_after_the_broker_has_forgotten_everything(stack: Stack) -> None:
    """A7: FLUSHALL, while the batch is being worked on and while nobody has taken it yet."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.3")
    worker = stack.start_worker("one")
    running = stack.create_batch(300, batch_size=WINDOW)
    stack.wait_for_calls(2 * WINDOW)
    stack.freeze(worker)
    waiting = stack.create_batch([f"waiting {number}" for number in range(50)], batch_size=WINDOW)
    stack.broker.flushall()
    worker.resume()
    stack.start_sweeper(SWEEP_S)
    stack.wait_completed(waiting)
    stack.wait_completed(running)
    later = stack.create_batch(["after all that"])
    stack.wait_completed(later)
    stack.check(later, most_calls=351 + 3 * WINDOW)
    stack.check(waiting, most_calls=351 + 3 * WINDOW)
    stack.check(running, most_calls=351 + 3 * WINDOW)


def test_calls_go_on_after_the_broker_and_a_worker_are_gone(stack: Stack) -> None:
    """A7 at its worst: the one that had the work is dead, and its message is nowhere."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.3")
    worker = stack.start_worker("one", lease_s=SHORT_LEASE_S)
    with stack.simulator.holding(after=WINDOW):
        batch = stack.create_batch(300, batch_size=WINDOW)
        stack.wait_for_calls(2 * WINDOW)
        stack.start_sweeper(SWEEP_S)
        stack.broker.flushall()
        stack.kill_in_flight(worker)
    stack.start_worker("two")
    stack.wait_completed(batch)
    stack.check(batch, most_calls=300 + 3 * WINDOW)


def test_the_same_message_fifty_times_makes_no_call_twice(stack: Stack) -> None:
    """A8: two workers are told at once, before, while and after the batch runs."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.3")
    batch = stack.create_batch(200, batch_size=WINDOW, parallelism=2)
    stack.driver("enqueue", batch=batch, times=20)
    stack.start_worker("one")
    stack.start_worker("two")
    stack.wait_for_calls(WINDOW)
    stack.driver("enqueue", batch=batch, times=20)
    stack.wait_completed(batch)
    stack.driver("enqueue", batch=batch, times=10)
    after = stack.create_batch(["the messages before this one were read"])
    stack.wait_completed(after)
    stack.check(batch, most_calls=201)
    assert stack.repeated_calls == 0
