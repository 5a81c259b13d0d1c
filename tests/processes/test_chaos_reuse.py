"""Workers are killed over equal requests: each has one outcome, and none is paid for twice but what
was in flight."""

from simulator import Behaviour
from tests.processes.stack import Stack

DISTINCT, TIMES, WINDOW, RUNNERS, KILLS = 150, 4, 8, 4, 2


def test_killed_workers_pay_once_for_equal_requests(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour(latency="uniform:0.05,0.3")
    texts = [f"prompt {number % DISTINCT}" for number in range(DISTINCT * TIMES)]
    first = stack.start_worker("first")
    batch = stack.create_batch(texts, batch_size=WINDOW, parallelism=RUNNERS, reuse="batch")
    stack.wait_for_calls(WINDOW)
    stack.kill_in_flight(first)
    second = stack.start_worker("second")
    stack.start_sweeper()
    stack.wait_for_calls(DISTINCT // 2)
    stack.kill_in_flight(second)
    stack.start_worker("third")
    stack.start_worker("fourth")
    stack.wait_completed(batch)
    stack.check(batch, most_calls=DISTINCT + KILLS * RUNNERS * 3 * WINDOW)
    assert set(stack.simulator.calls) == set(texts)
    answers = stack.driver("answers", batch=batch)
    assert answers == answers[:DISTINCT] * TIMES
