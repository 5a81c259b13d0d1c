"""Timeouts of PostgreSQL sessions: a statement that hangs or has lost its client is ended.

Only the sessions that do our work have them: all of a process that runs nothing else, or the ones
of a task. Other sessions of the project are left as they are.

A direct session keeps its timeouts. A pooler such as PgBouncer in transaction mode lends a session
for one transaction; then the timeouts are set in each transaction, and none stays in the session.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from batches.conf import conf
from batches.database import alias
from batches.net.connection_timeouts import keepalives, patience_s

# A statement may be a COPY or read every result of a batch, so it may take longer than a lease.
LEASES_PER_STATEMENT = 10
SHORTEST_STATEMENT_S = 300
# PostgreSQL releases the locks of a frozen process after one lease, so wait longer than that.
LEASES_PER_LOCK = 2

# A value that the role, the database or the URL sets for these takes precedence.
YIELDING = ["lock_timeout", "statement_timeout"]

# A pooler reports a made-up process ID to its client, so a difference reveals a pooler.
# Outside of a transaction, a local setting has no effect, so nothing stays in a lent session.
_SET = """
SELECT is_pooled, set_config(name, value, %(local)s OR is_pooled)
FROM (SELECT pg_backend_pid() <> %(pid)s AS is_pooled) AS session,
    unnest(%(names)s::text[], %(values)s::text[]) AS wanted (name, value)
WHERE NOT name = ANY (%(yielding)s) OR current_setting(name) = '0'
"""


# Set in a process whose sessions are all ours.
WHOLE_PROCESS = threading.Event()
_this_work = ContextVar("this_work", default=False)


def limit_process() -> None:
    """Limit every session that this process opens from now on."""
    WHOLE_PROCESS.set()


@contextmanager
def limited_sessions() -> Iterator[None]:
    """Limit the sessions in a block, and leave none of them limited."""
    if WHOLE_PROCESS.is_set() or _this_work.get():
        yield
        return
    connection = connections[alias()]
    before = _this_work.set(True)
    try:
        if connection.connection is not None:
            limit_session(connection)
        yield
    finally:
        _this_work.reset(before)
        if connection.connection is not None:
            _give_back(connection)


def limit_session(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Set the timeouts of a new connection; with a pooler, set them in each transaction.

    Sessions that do other work of the project, and its other databases, are left alone.
    """
    is_ours = WHOLE_PROCESS.is_set() or _this_work.get()
    if not is_ours or connection.vendor != "postgresql" or connection.alias != alias():
        return
    is_pooled = _set(connection, {**_timeouts(), **_of_socket()}, local=False)
    if is_pooled and limit_first_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(limit_first_statement)


def limit_transaction(connection: BaseDatabaseWrapper) -> None:
    """Set the timeouts of a transaction that is about to start in a lent session."""
    if limit_first_statement in connection.execute_wrappers and _is_beginning(connection):
        _set(connection, _timeouts(), local=True)


def limit_first_statement(execute: Callable[..., Any], *statement: Any) -> Any:
    """Run a statement; if it is the first of its transaction, set the timeouts before it."""
    *_, context = statement
    limit_transaction(context["connection"])
    return execute(*statement)


def lift_limits(using: str, **_: Any) -> None:
    """Remove the timeouts for migrations, which may take long."""
    connection = connections[using]
    if connection.vendor != "postgresql":
        return
    if limit_first_statement in connection.execute_wrappers:
        connection.execute_wrappers.remove(limit_first_statement)
    else:
        _for_each_timeout(connection, "SET {} = 0")


def restore_limits(using: str, **_: Any) -> None:
    """Set the timeouts again after migrations."""
    connection = connections[using]
    if connection.vendor == "postgresql":
        _for_each_timeout(connection, "RESET {}")
        limit_session(connection)


def _give_back(connection: BaseDatabaseWrapper) -> None:
    """Undo `limit_session` before other work uses the connection."""
    if connection.vendor != "postgresql":
        return
    if limit_first_statement in connection.execute_wrappers:
        connection.execute_wrappers.remove(limit_first_statement)
        return
    # A connection that is broken has no settings any more.
    with suppress(Error):
        _for_each_timeout(connection, "RESET {}")


def _timeouts() -> dict[str, str]:
    lease_s = conf().LEASE_SECONDS
    return {
        # Ends the transaction of a frozen process. Its lease has expired, and its locks would block
        # the worker that now has the lease.
        "idle_in_transaction_session_timeout": f"{lease_s}s",
        "lock_timeout": f"{LEASES_PER_LOCK * lease_s}s",
        "statement_timeout": f"{max(LEASES_PER_STATEMENT * lease_s, SHORTEST_STATEMENT_S)}s",
    }


def _of_socket() -> dict[str, str]:
    """Return settings that let the server notice a lost client, even inside a COPY."""
    patience = patience_s(conf().LEASE_SECONDS)
    probes = keepalives(conf().LEASE_SECONDS)
    return {
        **{f"tcp_keepalives_{name}": str(value) for name, value in probes.items()},
        "tcp_user_timeout": f"{patience}s",
        "client_connection_check_interval": f"{patience}s",
    }


def _set(connection: BaseDatabaseWrapper, timeouts: Mapping[str, str], *, local: bool) -> bool:
    """Set timeouts in one round trip; return True if a pooler lends the session."""
    values = {
        "pid": connection.connection.info.backend_pid,
        "local": local,
        "names": list(timeouts),
        "values": list(timeouts.values()),
        "yielding": YIELDING,
    }
    # Bypass the wrappers, since one of them called this function.
    with connection.wrap_database_errors:
        rows = connection.connection.execute(_SET, values).fetchall()
    return any(is_pooled for is_pooled, _ in rows)


def _for_each_timeout(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        for name in _timeouts():
            cursor.execute(statement.format(name))


def _is_beginning(connection: BaseDatabaseWrapper) -> bool:
    """Return True if the next statement is the first of a transaction."""
    status = connection.connection.info.transaction_status.name
    return connection.in_atomic_block and status == "IDLE"
