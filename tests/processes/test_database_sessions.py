"""The timeouts of PostgreSQL sessions, in sessions of our own and in those that PgBouncer lends."""

import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.models.signals import pre_migrate
from pytest_django import DjangoDbBlocker
from pytest_django.fixtures import Settings

from batches.models import database_sessions
from batches.models.database_sessions import limit_transaction, limited_sessions, restore_limits
from config.settings import database
from tests.pgbouncer import PgBouncerServer
from tests.processes.stack import Servers

ALIAS = "tried"
UNLIMITED = {
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
}
# Of a lease of a minute, as it is by default.
LIMITED = {
    "idle_in_transaction_session_timeout": "1min",
    "lock_timeout": "2min",
    "statement_timeout": "10min",
}
OF_SOCKET = {
    "tcp_keepalives_idle": "7",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "4",
    "tcp_user_timeout": "15000",
    "client_connection_check_interval": "15s",
}


def through(url: str, monkeypatch: pytest.MonkeyPatch) -> BaseDatabaseWrapper:
    """A new connection, with the settings that this URL leads to."""
    monkeypatch.setenv("DATABASE_URL", url)
    options = connections.configure_settings({"default": database()})["default"]
    connections[ALIAS] = DatabaseWrapper(options, ALIAS)
    return connections[ALIAS]


class Tried:
    """A router that has the app in the database that is tried."""

    def db_for_write(self, *_: Any, **__: Any) -> str:
        return ALIAS


@pytest.fixture(autouse=True)
def _unblocked(django_db_blocker: DjangoDbBlocker, settings: Settings) -> Iterator[None]:
    settings.DATABASE_ROUTERS = [Tried()]
    with django_db_blocker.unblock():
        yield
        connections[ALIAS].close()
        del connections[ALIAS]


@pytest.fixture
def direct(postgres_servers: Servers, monkeypatch: pytest.MonkeyPatch) -> BaseDatabaseWrapper:
    assert postgres_servers.postgres
    return through(postgres_servers.postgres.url, monkeypatch)


@pytest.fixture
def pooled(
    postgres_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BaseDatabaseWrapper]:
    assert postgres_servers.postgres
    with PgBouncerServer(postgres_servers.postgres) as pooler:
        yield through(pooler.url_of("postgres"), monkeypatch)


def shown(connection: BaseDatabaseWrapper, names: dict[str, str]) -> dict[str, Any]:
    found = {}
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"SHOW {name}")
            [found[name]] = cursor.fetchone() or [None]
    return found


def test_a_session_of_our_own_is_limited(direct: BaseDatabaseWrapper) -> None:
    assert shown(direct, LIMITED | OF_SOCKET) == LIMITED | OF_SOCKET
    with transaction.atomic(using=ALIAS):
        assert shown(direct, LIMITED) == LIMITED


@pytest.mark.parametrize("kind", ["direct", "pooled"])
def test_our_end_of_a_connection_gives_up_as_well(
    kind: str, request: pytest.FixtureRequest
) -> None:
    connection: BaseDatabaseWrapper = request.getfixturevalue(kind)
    connection.ensure_connection()
    with socket.fromfd(connection.connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as ours:
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        found = [ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in options]
    assert found == [7, 2, 4, 15_000]
    assert connection.settings_dict["OPTIONS"]["connect_timeout"] == 15


def test_what_the_role_says_of_statements_holds(
    postgres_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgres_servers.postgres
    with psycopg.connect(postgres_servers.postgres.url, autocommit=True) as staff:
        staff.execute("CREATE ROLE slow LOGIN")
        staff.execute("ALTER ROLE slow SET statement_timeout = '1h'")
    url = postgres_servers.postgres.url.replace("//postgres@", "//slow@")
    connection = through(f"{url}?connect_timeout=3", monkeypatch)
    assert shown(connection, LIMITED) == LIMITED | {"statement_timeout": "1h"}
    assert connection.settings_dict["OPTIONS"]["connect_timeout"] == 3


def test_a_session_that_is_lent_is_limited_by_the_transaction(pooled: BaseDatabaseWrapper) -> None:
    assert shown(pooled, UNLIMITED) == UNLIMITED
    for _ in range(2):
        with transaction.atomic(using=ALIAS):
            assert shown(pooled, LIMITED) == LIMITED
            with transaction.atomic(using=ALIAS):
                assert shown(pooled, LIMITED) == LIMITED
    assert shown(pooled, UNLIMITED) == UNLIMITED


def test_so_is_a_transaction_that_begins_with_a_copy(pooled: BaseDatabaseWrapper) -> None:
    with transaction.atomic(using=ALIAS):
        limit_transaction(pooled)
        with pooled.cursor() as cursor, cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
            assert b"".join(copy) == b"1\n"
        assert shown(pooled, LIMITED) == LIMITED


@pytest.fixture
def of_a_host() -> Iterator[None]:
    """A process that does other work as well, as a web server of another project."""
    limit = database_sessions.WHOLE_PROCESS
    limit.clear()
    yield
    limit.set()


@pytest.mark.parametrize("kind", ["direct", "pooled"])
def test_sessions_of_other_work_have_no_timeouts_before_and_after_ours(
    kind: str, of_a_host: None, request: pytest.FixtureRequest
) -> None:
    connection: BaseDatabaseWrapper = request.getfixturevalue(kind)

    def now() -> dict[str, Any]:
        with transaction.atomic(using=ALIAS):
            return shown(connection, LIMITED)

    assert now() == UNLIMITED
    with limited_sessions():
        assert now() == LIMITED
        connection.close()
        # One that is opened meanwhile is limited too.
        assert now() == LIMITED
        with limited_sessions():
            assert now() == LIMITED
        assert now() == LIMITED
    assert now() == UNLIMITED


def test_what_the_host_s_role_says_holds_again_after_our_work(
    of_a_host: None, postgres_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert postgres_servers.postgres
    with psycopg.connect(postgres_servers.postgres.url, autocommit=True) as staff:
        staff.execute("CREATE ROLE patient LOGIN")
        staff.execute("ALTER ROLE patient SET idle_in_transaction_session_timeout = '1h'")
    url = postgres_servers.postgres.url.replace("//postgres@", "//patient@")
    connection = through(url, monkeypatch)
    name = {"idle_in_transaction_session_timeout": "1h"}
    assert shown(connection, name) == name
    with limited_sessions():
        assert shown(connection, LIMITED) == LIMITED
    assert shown(connection, name) == name


@pytest.mark.parametrize("kind", ["direct", "pooled"])
def test_migrations_take_the_time_that_they_need(kind: str, request: pytest.FixtureRequest) -> None:
    connection: BaseDatabaseWrapper = request.getfixturevalue(kind)
    connection.ensure_connection()
    with transaction.atomic(using=ALIAS):
        assert shown(connection, LIMITED) == LIMITED
    pre_migrate.send(apps.get_app_config("batches"), using=ALIAS, plan=[])
    with transaction.atomic(using=ALIAS):
        assert shown(connection, UNLIMITED) == UNLIMITED
    restore_limits(ALIAS)
    with transaction.atomic(using=ALIAS):
        assert shown(connection, LIMITED) == LIMITED
