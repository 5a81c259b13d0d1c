"""The database of this app: `default`, or the one that a router of the project names for it.

Use `connection` and `transaction` of this module, not Django's, which are of `default`.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from django.apps import apps
from django.db import connections, router
from django.db import transaction as transactions
from django.db.backends.base.base import BaseDatabaseWrapper

P = ParamSpec("P")
T = TypeVar("T")


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
