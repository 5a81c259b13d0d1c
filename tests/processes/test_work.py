"""`manage.py work` in a process of its own: no Celery, no Redis, no other process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.command_line import ROOT
from tests.processes.conftest import CommandLine
from tests.processes.stack import (
    SHORT_LEASE_S,
    WORK_WITHOUT_CELERY,
    Servers,
    Stack,
    stack_on,
)
from tests.waiting import PATIENCE_S


@pytest.fixture(params=["postgres", "sqlite"])
def stack(
    request: pytest.FixtureRequest, simulator: SimulatedProvider, tmp_path: Path
) -> Iterator[Stack]:
    shared: Servers = request.getfixturevalue(f"{request.param}_servers")
    with stack_on(shared, simulator, tmp_path, DOORBELL="none") as stack:
        yield stack
    stack.show_output()


def test_it_runs_batches_where_neither_celery_nor_redis_is_installed(stack: Stack) -> None:
    batches = [stack.create_batch([f"{name} {n}" for n in range(50)]) for name in "abc"]
    ended = subprocess.run(
        [sys.executable, "-c", WORK_WITHOUT_CELERY],
        env=stack.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[1:] == ["Idle: there is nothing left to run.", ""]
    for batch in batches:
        stack.check(batch, most_calls=150)


def test_it_reads_files_ends_cancelled_batches_and_takes_what_comes_later(
    stack: Stack, tmp_path: Path
) -> None:
    worker = stack.start_worker("one")
    path = tmp_path / "in.jsonl"
    path.write_text(
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",'
        ' "body": {"model": "m", "messages": [{"role": "user", "content": "hello"}]}}\n'
    )
    of_file = stack.driver("create_of_file", base_url=stack.simulator.base_url, path=str(path))
    stack.wait_completed(of_file)
    with stack.simulator.holding():
        batch = stack.create_batch(30, batch_size=4)
        stack.wait_for_calls(1 + 4)
        stack.driver("cancel", batch=batch)
    stack.wait_ended(batch, "cancelled")
    worker.terminate()
    assert worker.wait() == 0
    cancelled = stack.create_batch(["never run"])
    stack.driver("cancel", batch=cancelled)
    stack.start_worker("two")
    stack.wait_ended(cancelled, "cancelled")


def test_as_many_batches_run_at_once_as_it_has_threads(stack: Stack) -> None:
    stack.start_worker("one", concurrency=3)
    with stack.simulator.holding():
        batches = [stack.create_batch([f"prompt of {number}"]) for number in range(5)]
        stack.wait_until(lambda: stack.simulator.in_flight == 3, "three calls at once")
        running = sum(stack.status(batch)["runners"] for batch in batches)
        assert running == 3
    for batch in batches:
        stack.wait_completed(batch)
    assert stack.repeated_calls == 0


def test_a_batch_with_several_runners_has_them_in_one_process(stack: Stack) -> None:
    stack.start_worker("one")
    with stack.simulator.holding():
        batch = stack.create_batch(64, batch_size=8, parallelism=4)
        stack.wait_until(lambda: stack.simulator.in_flight == 32, "the calls of four runners")
    stack.wait_completed(batch)
    assert stack.repeated_calls == 0


def test_a_second_signal_ends_it_at_once(stack: Stack) -> None:
    stack.simulator.behaviour = Behaviour(latency="fixed:600")
    worker = stack.start_worker("one", GRACE_SECONDS="600", lease_s=SHORT_LEASE_S)
    batch = stack.create_batch(["a long one"])
    stack.wait_for_calls(1)
    worker.signal(signal.SIGINT)
    stack.wait_until(lambda: "Stopping" in worker.output, "its word that it stops")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 130
    stack.simulator.behaviour = Behaviour()
    stack.start_worker("two")
    stack.wait_completed(batch)
    stack.check(batch, most_calls=2)


def test_it_waits_for_a_database_that_is_away(
    postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path
) -> None:
    with stack_on(postgres_servers, simulator, tmp_path, DOORBELL="none") as stack:
        worker = stack.start_worker("one")
        stack.wait_until(lambda: stack.driver("workers"), "a heartbeat")
        stack.postgres.kill()
        stack.wait_until(lambda: "No work was found, trying again" in worker.output, "a warning")
        stack.postgres.start()
        batch = stack.create_batch(20)
        stack.wait_completed(batch)
        stack.check(batch, most_calls=20)


def test_its_help_says_how_it_is_used(cli: CommandLine) -> None:
    shown = cli.run("work", "--help")
    assert shown.status == 0
    for words in ("--threads", "--until-idle", "SIGTERM", "no broker", "exit status"):
        assert words in shown.stdout
    wrong = cli.run("work", "--thread", "0")
    assert wrong.status == 2
    assert "must be between 1 and 1000" in wrong.stderr
