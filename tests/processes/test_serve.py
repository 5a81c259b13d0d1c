"""`manage.py serve` as a user starts it: everything comes up, comes back, and goes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.command_line import MANAGE
from tests.process_table import alive
from tests.processes.served import CREATE, SIGNS, Served
from tests.processes.stack import migrated_folder
from tests.servers import free_port
from tests.waiting import wait_until

Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start `serve` over a data folder of the test, in which a database is."""
    data_dir = tmp_path / "var"
    shutil.copytree(migrated_folder(), data_dir)
    with ExitStack() as stack:

        def start(*arguments: str) -> Served:
            served = Served(data_dir, *arguments)
            stack.enter_context(served.process)
            return served

        yield start


def test_all_come_up_and_a_batch_made_anywhere_is_completed(serve: Serve, tmp_path: Path) -> None:
    # The first `serve` of all makes the database itself.
    (tmp_path / "var" / "db.sqlite3").unlink()
    simulator_port = free_port()
    served = serve("--simulate", "--simulator-port", str(simulator_port), "--workers", "2")
    served.wait_until_up()
    providers = served.stored("SELECT name, model_names FROM batches_provider")
    assert providers == [("simulated", '["simulated-small"]')]
    assert served.status("healthz") == (200, {"status": "ok"})
    assert sum(SIGNS["worker"] in child.command for child in served.children()) == 2
    subprocess.run(
        [sys.executable, str(MANAGE), "shell", "-v0", "-c", CREATE], env=served.env, check=True
    )
    query = "SELECT status, total, succeeded FROM batches_batch"
    wait_until(lambda: served.stored(query)[0][0] == "completed", "the batch is completed")
    assert served.stored(query) == [("completed", 30, 30)]
    assert served.stored("SELECT count(*) FROM batches_result") == [(30,)]
    assert not served.said("Warning")


@pytest.mark.parametrize("name", ["broker", "worker", "web", "sweeper"])
def test_what_is_killed_comes_back(serve: Serve, name: str) -> None:
    served = serve()
    served.wait_until_up()
    first = served.pid(name)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: served.pid(name) not in (0, first) and served.is_up(), f"{name} is back")
    assert served.said("was killed by SIGKILL")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_all(serve: Serve, number: int) -> None:
    served = serve()
    served.wait_until_up()
    pids = [child.pid for child in served.children()]
    assert len(pids) == len(SIGNS)
    served.process.signal(number)
    assert served.process.wait() == 0, served.process.output
    # The last of them, the guard, ends because `serve` has ended.
    wait_until(lambda: not any(map(alive, pids)), "the end of all")
    assert served.said("Stopped.")
    # The folder is free for the next.
    again = serve()
    again.wait_until_up()


def test_readiness_tells_that_the_broker_hangs_within_seconds(serve: Serve) -> None:
    served = serve()
    served.wait_until_up()
    os.kill(served.pid("broker"), signal.SIGSTOP)
    try:
        assert served.status("readyz") == (503, {"status": "failing", "failing": ["broker"]})
        assert served.status("healthz") == (200, {"status": "ok"})
    finally:
        os.kill(served.pid("broker"), signal.SIGCONT)
    wait_until(served.is_up, "the broker answers again")


def test_when_serve_is_killed_nothing_stays_and_the_next_one_starts(serve: Serve) -> None:
    served = serve()
    served.wait_until_up()
    pids = [child.pid for child in served.children()]
    served.process.signal(signal.SIGKILL)
    again = serve()
    again.wait_until_up()
    wait_until(lambda: not any(map(alive, pids)), "the end of all")


def test_a_second_serve_on_the_folder_is_refused(serve: Serve) -> None:
    first = serve()
    first.wait_until_up()
    second = serve()
    assert second.process.wait() == 2
    [line] = second.process.output.splitlines()
    assert "another `serve` runs" in line
    assert str(first.data_dir) in line
    # One look could find the broker slower than readiness allows.
    wait_until(first.is_up, "the first is up")


def test_a_port_in_use_is_named_in_one_line(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (["--port", port], ["--simulate", "--simulator-port", port]):
            served = serve(*arguments)
            assert served.process.wait() == 2
            [*start, line] = served.process.output.splitlines()
            assert all(one.startswith("Starting Threephase") for one in start)
            assert port in line
            assert "in use" in line
