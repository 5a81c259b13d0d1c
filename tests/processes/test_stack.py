"""The stack itself: a worker, a sweeper and a batch, with nothing going wrong."""

from tests.processes.stack import Stack


def test_a_batch_is_worked_on_in_the_background(stack: Stack) -> None:
    stack.start_worker("one")
    batch = stack.create_batch(40, batch_size=8)
    stack.wait_completed(batch)
    stack.check(batch, most_calls=40)
    assert stack.repeated_calls == 0


def test_a_batch_that_was_never_rung_for_is_found_by_the_sweeper(stack: Stack) -> None:
    batch = stack.create_batch(40, batch_size=8)
    stack.broker.flushall()
    stack.start_worker("one")
    stack.start_sweeper()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=40)
