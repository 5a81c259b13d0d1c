"""Batches are cancelled and expire in the middle of their calls."""

from simulator import Behaviour
from tests.processes.stack import ON_POSTGRESQL, SHORT_LEASE_S, Stack

pytestmark = ON_POSTGRESQL

WINDOW = 16
PROMPTS = 300
THIRTY_PERCENT = PROMPTS * 3 // 10


def test_a_batch_that_is_cancelled_keeps_what_it_has_and_sends_no_more(stack: Stack) -> None:
    """A16: at 30 %; calls in flight are kept, the rest never ran."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.4")
    stack.start_worker("one")
    stack.start_worker("two")
    stack.start_sweeper()
    with stack.simulator.holding(after=THIRTY_PERCENT):
        batch = stack.create_batch(PROMPTS, batch_size=WINDOW, parallelism=2)
        stack.wait_for_calls(THIRTY_PERCENT + 1)
        assert stack.driver("cancel", batch=batch) == "cancelling"
        assert stack.driver("cancel", batch=batch) == "cancelling"
    stack.wait_ended(batch, "cancelled")
    calls = stack.simulator.calls.total()
    kinds = stack.driver("kinds", batch=batch)
    assert kinds == {"": calls, "cancelled": PROMPTS - calls}
    assert stack.driver("cancel", batch=batch) == "cancelled"
    prove_idle(stack)
    stack.check(batch, "cancelled", most_calls=calls + 1)
    assert stack.repeated_calls == 0


def test_a_cancelled_batch_whose_worker_died_is_ended_by_the_sweeper(stack: Stack) -> None:
    """A16: nobody is left to finish it."""
    stack.simulator.behaviour = Behaviour(latency="uniform:0.2,0.4")
    worker = stack.start_worker("one", lease_s=SHORT_LEASE_S)
    with stack.simulator.holding(after=WINDOW):
        batch = stack.create_batch(PROMPTS, batch_size=WINDOW)
        stack.wait_for_calls(2 * WINDOW)
        stack.kill_in_flight(worker)
    stack.driver("cancel", batch=batch)
    stack.start_sweeper()
    stack.wait_ended(batch, "cancelled")
    stack.check(batch, "cancelled", most_calls=PROMPTS)
    assert stack.repeated_calls == 0


def test_a_cancelled_batch_can_be_run_to_its_end(stack: Stack) -> None:
    stack.start_worker("one")
    stack.start_sweeper()
    with stack.simulator.holding(after=WINDOW):
        batch = stack.create_batch(PROMPTS, batch_size=WINDOW)
        stack.wait_for_calls(2 * WINDOW)
        stack.driver("cancel", batch=batch)
    stack.wait_ended(batch, "cancelled")
    stack.driver("retry", batch=batch)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=PROMPTS)
    assert stack.repeated_calls == 0


def test_a_batch_whose_window_ends_keeps_what_it_has(stack: Stack) -> None:
    """A17: the rest expires, with a reason, and nothing more is sent."""
    stack.start_worker("one")
    stack.start_sweeper()
    with stack.simulator.holding(after=WINDOW):
        batch = stack.create_batch(PROMPTS, batch_size=WINDOW)
        stack.wait_for_calls(2 * WINDOW)
        stack.driver("expire", batch=stack.status(batch)["public_id"])
    stack.wait_ended(batch, "expired")
    calls = stack.simulator.calls.total()
    assert 0 < calls < PROMPTS
    kinds = stack.driver("kinds", batch=batch)
    assert kinds == {"": calls, "expired": PROMPTS - calls}
    prove_idle(stack)
    stack.check(batch, "expired", most_calls=calls + 1)
    assert stack.repeated_calls == 0


def prove_idle(stack: Stack) -> None:
    """Let the workers do something else, after which they would have gone on with the rest."""
    batch = stack.create_batch(["something else"])
    stack.wait_completed(batch)
