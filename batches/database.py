"""The database of this app: `default`, or the one that a router of the project names for it.

Use `connection` and `transaction` of this module, not Django's, which are of `default`.
"""

import sqlite3
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from django.apps import apps
from django.db import InterfaceError, OperationalError, connections, router
from django.db import transaction as transactions
from django.db.backends.base.base import BaseDatabaseWrapper

P = ParamSpec("P")
T = TypeVar("T")

# SQLSTATE: read_only_sql_transaction, from a server that has become a standby; and the class
# program_limit_exceeded, which is caused by the values to store.
READ_ONLY = "25006"
TOO_LARGE = "54"
# SQLSTATEs of a statement that was stopped on a connection that works: query_canceled (a timeout),
# lock_not_available, deadlock_detected, serialization_failure.
STOPPED = frozenset({"57014", "55P03", "40P01", "40001"})


def alias() -> str:
    """Return the alias of the database."""
    return router.db_for_write(apps.get_model("batches", "Batch"))


class _Connection:
    """The connection of the current thread, as `django.db.connection` is that of `default`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(connections[alias()], name)


class _Transaction:
    """Transactions of this database, as `django.db.transaction` has them for `default`."""

    @staticmethod
    def atomic(*, savepoint: bool = True) -> transactions.Atomic:
        """Return a context manager that commits its block, or rolls it back at an exception."""
        return transactions.atomic(using=alias(), savepoint=savepoint)

    @staticmethod
    def around(function: Callable[P, T]) -> Callable[P, T]:
        """Decorate a function, so that each call is a transaction or a savepoint of one."""

        @wraps(function)
        def within(*args: P.args, **kwargs: P.kwargs) -> T:
            # Not where the function is defined: routers are not known yet.
            with _Transaction.atomic():
                return function(*args, **kwargs)

        return within

    @staticmethod
    def on_commit(function: Callable[[], object], *, robust: bool) -> None:
        """Call a function after the commit of the current transaction, or now without one."""
        transactions.on_commit(function, using=alias(), robust=robust)


connection = cast("BaseDatabaseWrapper", _Connection())
transaction = _Transaction()


def is_absent(error: BaseException) -> bool:
    """Return True if the database is unavailable or cannot write now, whatever the values are.

    Any other error is caused by the statement or its values, so that retrying does not help.
    """
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None) or ""
    if isinstance(error, InterfaceError) or state == READ_ONLY:
        return True
    if not isinstance(error, OperationalError) or state.startswith(TOO_LARGE):
        return False
    # SQLite has one code for all errors of a statement.
    return getattr(cause, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


def is_stopped(error: BaseException) -> bool:
    """Return True if an error that `is_absent` is of one statement, and the connection works.

    A timeout or a deadlock has stopped it, or it is of another database of the project. Call it
    after the savepoint around the statement is left.
    """
    if connection.needs_rollback:
        return False
    cause = error.__cause__
    state, code = getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorcode", None)
    return state in STOPPED or code == sqlite3.SQLITE_INTERRUPT or (state is None and code is None)
