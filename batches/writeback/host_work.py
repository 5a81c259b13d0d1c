"""Keep the work of a project's own code from undoing, at the commit, what is stored with it."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from batches.database import connection, is_absent

logger = logging.getLogger(__name__)

T = TypeVar("T")
Hook = Callable[[], object]


def or_unwritten(store: Callable[[str], T]) -> T:
    """Call a function that stores answers in a transaction of its own, first with an empty text.

    If the database refuses the answers, perhaps for what they did to rows, call it with the
    reason: then it stores them, and writes them into no row.
    """
    try:
        return store("")
    except Exception as error:
        if is_absent(error):
            raise
        logger.warning("Answers could not be stored with their rows: %s", error)
        return store(f"{type(error).__name__}: {error}")


def check_deferred() -> None:
    """Check what PostgreSQL would check at the commit, when no row could be named any more.

    SQLite could only search whole tables.
    """
    if connection.vendor == "postgresql":
        connection.check_constraints()


def contain_hooks(*, since: int) -> None:
    """Let the functions that were registered with `on_commit` since fail without each other.

    All is committed when one raises an error, so that the error is logged.
    """
    # Its type in the stubs is one of an older Django.
    hooks: list[Any] = connection.run_on_commit
    hooks[since:] = [(sids, _contained(hook), True) for sids, hook, _ in hooks[since:]]


def _contained(hook: Hook) -> Hook:
    # Django cannot name a `functools.partial` that fails, and raises an error of its own.
    @wraps(hook)
    def contained() -> None:
        try:
            hook()
        except Exception:
            logger.exception("A function failed that a row has registered with on_commit: %r", hook)

    return contained
