"""A whole installation for one test: database, broker, simulated provider, real processes."""

import atexit
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, LiteralString

import pytest

from simulator import SimulatedProvider
from tests.environment import unmeasured
from tests.owned_process import OwnedProcess
from tests.pgbouncer import PgBouncerServer
from tests.servers import PostgresServer, RedisServer, run_quietly
from tests.waiting import PATIENCE_S, wait_until
from tests.warm_python import start_python

ROOT = Path(__file__).resolve().parent.parent.parent
MANAGE = (sys.executable, str(ROOT / "manage.py"))
TEMPLATE = "threephase_template"

# However busy the machine is, no worker that lives loses its leases. Workers that a test kills or
# freezes get short ones, whose end it waits for.
LEASE_SECONDS = 60
SHORT_LEASE_S = 2
GRACE_SECONDS = 6

# `manage.py work --until-idle` as if these were not installed; it prints what is loaded of them.
WORK_WITHOUT_CELERY = """
import sys
absent = ("celery", "kombu", "redis", "amqp")
sys.modules.update(dict.fromkeys(absent))
sys.argv = ["manage.py", "work", "--until-idle"]
from manage import main
main()
print(*sorted(name for name in sys.modules if name.split(".")[0] in absent and sys.modules[name]))
"""

DatabaseKind = Literal["postgres", "sqlite"]
Doorbell = Literal["celery", "tasks", "none"]
DOORBELLS: tuple[Doorbell, ...] = ("celery", "tasks", "none")

# For modules whose tests say nothing of the locks of a database; test_chaos_workers.py and
# test_stack.py, in which writers meet, run on SQLite with Valkey too.
ON_POSTGRESQL = pytest.mark.parametrize("stack", ["postgres+redis"], indirect=True)


class DriverFailed(Exception):
    """A command to the driver raised; `kind` is the name of the exception."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind

    @property
    def database_is_away(self) -> bool:
        return self.kind in {"OperationalError", "InterfaceError"}


class Driver:
    """Our end of the driver process."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = start_python(
            [sys.executable, "-m", "tests.processes.driver"],
            env=env,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, command: str, **arguments: Any) -> Any:
        """What the command returned. Raises DriverFailed."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([command, arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise DriverFailed("DriverGone", f"exit status {self._process.wait(PATIENCE_S)}")
        answer = json.loads(line)
        if "error" in answer:
            raise DriverFailed(answer["kind"], answer["error"])
        return answer["value"]

    def close(self) -> None:
        """It ends with its input, and so with us."""
        try:
            self._process.communicate(timeout=PATIENCE_S)
        finally:
            self._process.kill()


@dataclass
class Servers:
    """What several stacks share, one after the other; PostgreSQL is started when it is needed."""

    kind: DatabaseKind
    broker: RedisServer
    postgres: PostgresServer | None
    template: Path
    # What processes connect to instead of PostgreSQL.
    pooler: PgBouncerServer | None = None


@dataclass
class Stack:
    """Everything that one test runs on. Ask for processes; they end with the stack."""

    servers: Servers
    simulator: SimulatedProvider
    folder: Path
    database: str | None
    env: dict[str, str]
    driver: Driver
    processes: list[OwnedProcess] = field(default_factory=list)
    # The command that workers and commands are arguments of.
    within: Sequence[str] = ()

    @property
    def broker(self) -> RedisServer:
        return self.servers.broker

    @property
    def postgres(self) -> PostgresServer:
        assert self.servers.postgres, "this stack has no PostgreSQL"
        return self.servers.postgres

    # -- processes

    @property
    def doorbell(self) -> str:
        return self.env.get("DOORBELL", "celery")

    def start_worker(
        self, name: str, *, concurrency: int = 8, lease_s: int | None = None, **env: str
    ) -> OwnedProcess:
        """A worker as this doorbell needs it; a worker of tasks does one at a time."""
        if lease_s is not None:
            env["LEASE_SECONDS"] = str(lease_s)
        if self.doorbell == "none":
            threads = str(concurrency)
            return self.start_command("work", "--threads", threads, "--name", name, **env)
        if self.doorbell == "tasks":
            quick = ("--no-startup-delay", "--interval", "0.1")
            return self.start_command("db_worker", "--worker-id", name, *quick, **env)
        return self.start_celery(name, concurrency=concurrency, **env)

    def start_celery(
        self,
        name: str,
        *options: str,
        app: str = "config",
        pool: str = "threads",
        concurrency: int = 8,
        **env: str,
    ) -> OwnedProcess:
        return self._start(
            # Quiet: without the banner, and without the advice not to be root.
            *(sys.executable, "-W", "ignore:You're running the worker"),
            *("-m", "celery", "-q", "-A", app, "worker"),
            *("--pool", pool, "--concurrency", str(concurrency), "-n", f"{name}@%h"),
            *("--without-gossip", "--without-mingle", "-l", "WARNING", *options),
            **env,
        )

    def start_sweeper(self, every: float = 0.5) -> OwnedProcess:
        return self._start(*MANAGE, "sweep", "--loop", "--every", str(every))

    def start_command(self, *arguments: str, **env: str) -> OwnedProcess:
        return self._start(*MANAGE, *arguments, **env)

    def _start(self, *command: str, **env: str) -> OwnedProcess:
        process = OwnedProcess([*self.within, *command], env={**self.env, **env}, cwd=ROOT)
        self.processes.append(process)
        return process

    # -- what a user does

    def create_batch(self, texts: Sequence[str] | int, **options: Any) -> int:
        """The id of a new batch of these prompts, or of so many different ones."""
        if isinstance(texts, int):
            texts = [f"prompt {number}" for number in range(texts)]
        base_url = self.simulator.base_url
        pk: int = self.driver("create", base_url=base_url, texts=texts, options=options)
        return pk

    def status(self, batch: int) -> dict[str, Any]:
        row: dict[str, Any] = self.driver("status", batch=batch)
        return row

    def stored(self, batch: int) -> int:
        """The results that a batch counts."""
        row = self.status(batch)
        return int(row["succeeded"] + row["failed"])

    def wait_until(
        self, condition: Callable[[], object], what: str, *, seconds: float = PATIENCE_S
    ) -> None:
        """Wait for a condition; a database that is away for a moment is waited for too."""
        wait_until(lambda: self._holds(condition), what, seconds=seconds)

    @staticmethod
    def _holds(condition: Callable[[], object]) -> bool:
        try:
            return bool(condition())
        except DriverFailed as failure:
            if not failure.database_is_away:
                raise
            return False

    def wait_for_calls(self, calls: int) -> None:
        """Wait until so many calls have come, and some are in flight."""
        self.wait_until(
            lambda: self.simulator.calls.total() >= calls and self.simulator.in_flight,
            f"{calls} calls",
        )

    def wait_ended(
        self, batch: int, status: str = "completed", *, seconds: float = PATIENCE_S
    ) -> None:
        ended = ("completed", "failed", "expired", "cancelled")
        self.wait_until(
            lambda: self.status(batch)["status"] in ended, f"the end of {batch}", seconds=seconds
        )
        assert self.status(batch)["status"] == status

    def wait_completed(self, batch: int, *, seconds: float = PATIENCE_S) -> None:
        self.wait_ended(batch, seconds=seconds)

    # -- what must hold in the end

    def check(self, batch: int, status: str = "completed", *, most_calls: int) -> None:
        """One result for each prompt, true counts, every chunk done, so many calls at most."""
        self.driver("check", batch=batch, ended_as=status)
        assert self.simulator.calls.total() <= most_calls

    @property
    def repeated_calls(self) -> int:
        """Calls beyond one for each prompt."""
        calls = self.simulator.calls
        return calls.total() - len(calls)

    def kill_in_flight(self, worker: OwnedProcess) -> None:
        """SIGKILL a worker that makes calls, with some in flight; wait until the provider misses
        them."""
        before = self.simulator.by_status["abandoned"]
        with self.simulator.holding():
            self.wait_until(lambda: self.simulator.in_flight, "calls in flight")
            worker.kill()
            self.wait_until(
                lambda: self.simulator.by_status["abandoned"] > before, "the end of its calls"
            )

    def freeze(self, worker: OwnedProcess) -> None:
        """SIGSTOP a worker between two transactions: within one it would hold locks as well."""

        def is_frozen() -> bool:
            worker.pause()
            if self._in_transaction():
                worker.resume()
                return False
            return True

        self.wait_until(is_frozen, "a moment outside of a transaction")

    def _in_transaction(self) -> bool:
        """Whether anybody is; the only worker and nobody else should be at work."""
        if self.database is None:
            return self._sqlite_is_locked()
        query: LiteralString = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND xact_start IS NOT NULL"
        )
        return bool(self.postgres.psql(query, self.database))

    def _sqlite_is_locked(self) -> bool:
        with closing(sqlite3.connect(self.folder / "var" / "db.sqlite3", timeout=0.1)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False

    def close(self) -> None:
        for process in self.processes:
            if process.running:
                process.kill()
        self.driver.close()

    def show_output(self) -> None:
        """Print what the processes said; pytest shows it with a failure."""
        for process in self.processes:
            if process.output:
                command = process.popen.args
                assert isinstance(command, Sequence)
                print(f"--- {' '.join(map(str, command[1:]))}: {process.popen.returncode}")
                print(process.end_of_output)


@contextmanager
def servers(kind: DatabaseKind, folder: Path, broker: Path) -> Iterator[Servers]:
    """Servers with an empty, migrated database to copy; `broker` is the binary."""
    with RedisServer(broker) as redis:
        if kind == "sqlite":
            yield Servers(kind, redis, None, migrated_folder())
            return
        with PostgresServer() as postgres:
            migrate(folder / "template", database=postgres.create_database(TEMPLATE))
            yield Servers(kind, redis, postgres, folder)


@cache
def migrated_folder() -> Path:
    """The data folder of an installation with an empty database, to copy; made once a process."""
    folder = Path(tempfile.mkdtemp(prefix="threephase-migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate(folder / "var", database=None)
    return folder / "var"


def migrate(data: Path, *, database: str | None) -> None:
    """Make the tables of an installation; without a database in its data folder."""
    run_quietly(*MANAGE, "migrate", "-v0", env=environment(data, "memory://", database=database))


def environment(data: Path, broker: str, *, database: str | None) -> dict[str, str]:
    """The environment of an installation; without a database it is embedded."""
    env = {
        **unmeasured(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATA_DIR": str(data),
        "CELERY_BROKER_URL": broker,
        "SECRET_KEY": "only for tests",
        "PROVIDER_PRIVATE_HOSTS": "127.0.0.0/8",
        "WEBHOOK_PRIVATE_HOSTS": "127.0.0.0/8",
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "GRACE_SECONDS": str(GRACE_SECONDS),
        "SWEEP_SECONDS": "1",
        # As the workers of `serve`: Django's checks load every page of the server.
    }
    env.pop("DATABASE_URL", None)
    return {**env, "DATABASE_URL": database} if database else env


@contextmanager
def stack_on(
    shared: Servers, simulator: SimulatedProvider, folder: Path, **env: str
) -> Iterator[Stack]:
    """A stack with a database of its own and an empty broker."""
    if not shared.broker.running:
        shared.broker.start()
    shared.broker.resume()
    shared.broker.flushall()
    name = f"db_{time.monotonic_ns()}" if shared.postgres else None
    url = None
    data = folder / "var"
    if shared.postgres and name:
        url = shared.postgres.create_database(name, template=TEMPLATE)
        url = shared.pooler.url_of(name) if shared.pooler else url
        data.mkdir()
    else:
        shutil.copytree(shared.template, data)
    variables = {**environment(data, shared.broker.url, database=url), **env}
    if env.get("DOORBELL") == "tasks":
        variables["DJANGO_SETTINGS_MODULE"] = "tests.processes.tasks_settings"
        run_quietly(*MANAGE, "migrate", "-v0", "django_tasks_database", env=variables)
    stack = Stack(shared, simulator, folder, name, variables, Driver(variables))
    try:
        yield stack
    finally:
        stack.close()
