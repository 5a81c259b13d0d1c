"""PostgreSQL cuts connections, crashes, and finds deadlocks; nothing is lost or called twice."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import sql

from simulator import Behaviour
from tests.processes.stack import Stack

WINDOW = 16


def test_connections_that_are_cut_lose_nothing(postgres_stack: Stack) -> None:
    """A9: every connection to the database, every second."""
    stack = postgres_stack
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.4")
    stack.start_worker("one")
    stack.start_worker("two")
    stack.start_sweeper()
    batch = stack.create_batch(600, batch_size=WINDOW, parallelism=2)
    stack.wait_for_calls(WINDOW)
    cut, strike_at = 0, 0.0
    while stack.stored(batch) < 600:
        if time.monotonic() >= strike_at:
            strike_at = time.monotonic() + 1
            cut += cut_connections(stack)
        assert cut < 1000
    stack.wait_completed(batch)
    assert cut > 5
    stack.check(batch, most_calls=600)
    assert stack.repeated_calls == 0


def cut_connections(stack: Stack) -> int:
    rows = stack.postgres.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", stack.database
    )
    return len(rows)


def test_a_database_that_crashes_loses_nothing(postgres_stack: Stack) -> None:
    """Fault 15: `-m immediate`, three times, with calls in flight."""
    stack = postgres_stack
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.4")
    stack.start_worker("one")
    stack.start_sweeper()
    batch = stack.create_batch(400, batch_size=WINDOW)
    for answers in (WINDOW, 80, 150):
        before = stack.simulator.calls.total()
        with stack.simulator.holding(after=answers):
            stack.wait_for_calls(before + answers)
            stack.postgres.restart_immediate()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=400)
    assert stack.repeated_calls == 0


def test_a_flush_that_is_the_victim_of_a_deadlock_is_done_again(postgres_stack: Stack) -> None:
    """A10: somebody locks the batch before its chunks, the other way round than a flush."""
    stack = postgres_stack
    stack.simulator.behaviour = Behaviour(latency="uniform:0.1,0.3")
    stack.start_worker("one")
    assert stack.database
    url = stack.postgres.url_of(stack.database)
    with psycopg.connect(url) as locker, psycopg.connect(url) as gate, ThreadPoolExecutor() as pool:
        with stack.simulator.holding(after=WINDOW):
            batch = stack.create_batch(300, batch_size=WINDOW)
            stack.wait_for_calls(2 * WINDOW)
            # A flush stops between its chunk and the batch until we wait: it looks for a deadlock
            # once.
            gate.execute("LOCK TABLE batches_result IN SHARE MODE")
            # The session that finds a deadlock is its victim, so this one must not look for one.
            locker.execute("SET LOCAL deadlock_timeout = '10min'")
            locker.execute("SELECT 1 FROM batches_batch WHERE id = %s FOR UPDATE", [batch])
        stack.wait_until(lambda: waiting(stack) == 1, "a flush that has its chunk")
        chunks = "SELECT 1 FROM batches_chunk WHERE batch_id = %s FOR UPDATE"
        locked = pool.submit(locker.execute, chunks, [batch])
        stack.wait_until(lambda: waiting(stack) == 2, "the wait for the chunk")
        gate.rollback()
        locked.result()
        locker.rollback()
    stack.wait_completed(batch)
    stack.wait_until(lambda: deadlocks(stack) == 1, "the statistics of the deadlock")
    stack.check(batch, most_calls=300)
    assert stack.repeated_calls == 0


def waiting(stack: Stack) -> int:
    """The sessions that wait for a lock."""
    query = sql.SQL(
        "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        " AND backend_type = 'client backend'"
    )
    return len(stack.postgres.psql(query.as_string(), stack.database))


def deadlocks(stack: Stack) -> int:
    [[count]] = stack.postgres.psql(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = %s", stack.database
    )
    return int(count)
