"""Workers that are rung for by Celery, by tasks of the database, or not at all."""

import random

import pytest

from simulator import Behaviour
from tests.processes.stack import SHORT_LEASE_S, Stack
from tests.processes.test_chaos_workers import start_victim, strike
from tests.receivers import receiving, url_of
from tests.scripted_server import answer
from tests.waiting import PATIENCE_S

WINDOW = 16
KILLS = 6
MANY = 1500
SWEEP_S = 0.5


def test_a_batch_is_run_without_a_sweeper(rung_stack: Stack) -> None:
    rung_stack.start_worker("one")
    batch = rung_stack.create_batch(40, batch_size=WINDOW)
    rung_stack.wait_completed(batch)
    rung_stack.check(batch, most_calls=40)
    assert rung_stack.repeated_calls == 0


def test_nothing_is_lost_when_random_workers_are_killed(rung_stack: Stack) -> None:
    stack = rung_stack
    stack.simulator.behaviour = Behaviour(latency="uniform:0.5,1.5")
    workers = [start_victim(stack, f"first{number}") for number in range(3)]
    if stack.doorbell != "none":
        stack.start_sweeper(SWEEP_S)
    batch = stack.create_batch(MANY, batch_size=WINDOW, parallelism=3)
    kills = 0
    while kills < KILLS or stack.simulator.by_status["abandoned"] < 2:
        assert stack.stored(batch) < MANY, "it ended before enough calls were cut off"
        strike(stack, workers)
        kills += 1
        if stack.doorbell == "celery" and random.random() < 0.3:
            # It forgets every message; the sweeper sends them again.
            stack.broker.kill()
            stack.broker.start()
    stack.simulator.behaviour = Behaviour()
    stack.wait_completed(batch)
    stack.check(batch, most_calls=MANY + kills * 3 * WINDOW)
    assert stack.driver("kinds", batch=batch) == {"": MANY}


def test_a_worker_that_is_asked_to_stop_finishes_its_calls(rung_stack: Stack) -> None:
    stack = rung_stack
    worker = stack.start_worker("leaving", GRACE_SECONDS="45", lease_s=SHORT_LEASE_S)
    with stack.simulator.holding():
        batch = stack.create_batch(60, batch_size=WINDOW)
        stack.wait_for_calls(WINDOW)
        worker.terminate()
        stack.wait_until(lambda: says_that_it_stops(worker.output), "its word that it stops")
    assert worker.wait(PATIENCE_S) == 0, worker.output
    calls = stack.simulator.calls.total()
    assert stack.stored(batch) == calls < 60
    assert {chunk["state"] for chunk in stack.driver("chunks", batch=batch)} <= {"ready", "done"}
    assert stack.driver("workers") == []
    stack.start_worker("next")
    stack.driver("sweep")
    stack.wait_completed(batch)
    assert stack.repeated_calls == 0


def says_that_it_stops(output: str) -> bool:
    return any(words in output for words in ("shutdown", "shutting down", "Stopping"))


def test_a_working_worker_has_a_heartbeat(rung_stack: Stack) -> None:
    stack = rung_stack
    stack.start_worker("one")
    with stack.simulator.holding():
        stack.create_batch(["hello"])
        stack.wait_for_calls(1)
        stack.wait_until(lambda: len(stack.driver("workers")) == 1, "a heartbeat")


def test_the_end_of_a_batch_is_delivered(rung_stack: Stack) -> None:
    rung_stack.start_worker("one")
    with receiving(answer(b"")) as server:
        rung_stack.driver(
            "create_with_callback",
            base_url=rung_stack.simulator.base_url,
            text="hello",
            url=url_of(server),
        )
        rung_stack.wait_until(lambda: server.requests, "the event")


@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_a_pool_of_celery_runs_batches_and_stops_in_order(postgres_stack: Stack, pool: str) -> None:
    stack = postgres_stack
    worker = stack.start_celery("leaving", pool=pool, concurrency=2, GRACE_SECONDS="45")
    with stack.simulator.holding(after=WINDOW):
        batch = stack.create_batch(200, batch_size=WINDOW, parallelism=2)
        stack.wait_for_calls(2 * WINDOW)
        worker.terminate()
        stack.wait_until(lambda: says_that_it_stops(worker.output), "its word that it stops")
    assert worker.wait(PATIENCE_S) == 0, worker.output
    assert stack.stored(batch) == stack.simulator.calls.total() < 200
    assert {chunk["state"] for chunk in stack.driver("chunks", batch=batch)} <= {"ready", "done"}
    assert stack.driver("workers") == []


def test_a_green_pool_is_refused_with_the_remedy(postgres_stack: Stack) -> None:
    worker = postgres_stack.start_celery("green", pool="gevent")
    assert worker.wait(PATIENCE_S) == 1
    assert "The pool gevent cannot run batches" in worker.output
    assert "--pool threads" in worker.output


def test_the_time_limits_of_the_other_tasks_end_no_turn(postgres_stack: Stack) -> None:
    stack = postgres_stack
    limits = ["--soft-time-limit", "1", "--time-limit", "2"]
    stack.start_celery("limited", *limits, pool="prefork", concurrency=1)
    # Longer than the limits, which Celery tries every second.
    stack.simulator.behaviour = Behaviour(latency="fixed:5")
    batch = stack.create_batch(["hello"])
    stack.wait_completed(batch)
    stack.check(batch, most_calls=1)


def test_a_green_pool_may_do_the_other_tasks_of_the_project(postgres_stack: Stack) -> None:
    stack = postgres_stack
    worker = stack.start_celery("green", "-Q", "mails", pool="gevent")
    stack.start_worker("one")
    batch = stack.create_batch(["hello"])
    stack.wait_completed(batch)
    # Only the worker that runs batches has a heartbeat.
    assert len(stack.driver("workers")) == 1
    assert worker.running
