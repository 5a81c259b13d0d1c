"""Workers are killed over equal requests: each has one outcome, and none is paid for twice but what
was in flight."""

from tests.processes.stack import SHORT_LEASE_S, Stack

DISTINCT, TIMES, WINDOW, RUNNERS, KILLS = 150, 4, 8, 4, 2


def test_killed_workers_pay_once_for_equal_requests(stack: Stack) -> None:
    texts = [f"prompt {number % DISTINCT}" for number in range(DISTINCT * TIMES)]
    stack.start_sweeper()
    batch = None
    for number in range(KILLS):
        with stack.simulator.holding(after=WINDOW):
            victim = stack.start_worker(f"victim{number}", lease_s=SHORT_LEASE_S)
            options = {"batch_size": WINDOW, "parallelism": RUNNERS, "reuse": "batch"}
            batch = batch or stack.create_batch(texts, **options)
            stack.wait_for_calls(stack.simulator.calls.total() + 2 * WINDOW)
            stack.kill_in_flight(victim)
    assert batch
    stack.start_worker("first")
    stack.start_worker("second")
    stack.wait_completed(batch)
    # Of each killed worker, what was in flight, and what it had not stored yet.
    stack.check(batch, most_calls=DISTINCT + KILLS * (RUNNERS * WINDOW + WINDOW))
    assert set(stack.simulator.calls) == set(texts)
    answers = stack.driver("answers", batch=batch)
    assert answers == answers[:DISTINCT] * TIMES
