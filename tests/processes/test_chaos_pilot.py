"""Workers are killed during a pilot: nothing beyond it is sent before the gate opens."""

from batches.leases.pilot_sample import EvenSample
from simulator import Behaviour
from tests.processes.stack import SHORT_LEASE_S, Stack

ALL, ROWS, WINDOW = 400, 60, 8


def test_killed_workers_send_nothing_beyond_the_pilot(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.4")
    first = stack.start_worker("first", lease_s=SHORT_LEASE_S)
    options = {"batch_size": WINDOW, "parallelism": 4, "pilot": {"rows": ROWS}}
    with stack.simulator.holding(after=WINDOW):
        batch = stack.create_batch(ALL, **options)
        stack.wait_for_calls(2 * WINDOW)
        stack.kill_in_flight(first)
    stack.start_worker("second")
    stack.start_worker("third")
    stack.start_sweeper()
    stack.wait_until(lambda: is_at_gate(stack, batch), "the end of the pilot")
    pilot = {f"prompt {index}" for index in EvenSample(ALL, ROWS)}
    assert set(stack.simulator.calls) == pilot
    assert stack.stored(batch) == ROWS
    stack.driver("enqueue", batch=batch, times=4)
    # A worker that gets the message finds nothing to do here, and runs another batch.
    other = stack.create_batch(["something else"])
    stack.wait_completed(other)
    assert set(stack.simulator.calls) == pilot | {"something else"}
    stack.driver("resume", batch=batch)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=ALL + 1 + 4 * 3 * WINDOW)


def test_workers_go_on_by_themselves_when_the_rules_hold(stack: Stack) -> None:
    stack.start_worker("worker")
    pilot = {"rows": ROWS, "continue_when": {"max_failed": 0}}
    batch = stack.create_batch(ALL, batch_size=WINDOW, parallelism=4, pilot=pilot)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=ALL)


def is_at_gate(stack: Stack, batch: int) -> bool:
    return bool(stack.status(batch)["pause_reason"].startswith("pilot of "))
