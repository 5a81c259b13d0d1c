"""A worker without work is there; one that has ended is gone, one that was killed falls silent."""

from tests.processes.stack import ON_POSTGRESQL, Stack


@ON_POSTGRESQL
def test_idle_ended_and_killed_workers_are_told_apart(stack: Stack) -> None:
    one, two = stack.start_worker("one"), stack.start_worker("two")
    stack.wait_until(lambda: len(stack.driver("workers")) == 2, "two heartbeats")
    one.terminate()
    assert one.wait() == 0
    two.kill()
    (left,) = stack.driver("workers")
    assert left.startswith("two@")


def test_a_worker_ends_by_itself_while_the_database_is_away(postgres_stack: Stack) -> None:
    worker = postgres_stack.start_worker("one")
    postgres_stack.wait_until(lambda: postgres_stack.driver("workers"), "a heartbeat")
    postgres_stack.postgres.kill()
    try:
        worker.terminate()
        assert worker.wait() == 0
    finally:
        postgres_stack.postgres.start()
