"""The time limit of a call, and waits that do not count towards it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LIMIT: ContextVar[asyncio.Timeout | None] = ContextVar("time limit of the call", default=None)


def call_begins(limit: asyncio.Timeout) -> None:
    """Note the time limit of the call that this task makes now."""
    _LIMIT.set(limit)


@contextmanager
def not_counted() -> Iterator[None]:
    """Stop the clock of the call inside the block: it waits for us, not for the provider."""
    limit = _LIMIT.get()
    ends_at = limit.when() if limit is not None else None
    if limit is None or ends_at is None:
        yield
        return
    loop = asyncio.get_running_loop()
    began = loop.time()
    limit.reschedule(None)
    try:
        yield
    finally:
        limit.reschedule(ends_at + loop.time() - began)
