"""The clock of a call. It can be stopped for waits that the provider did not cause."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class CallClock:
    """The time limit of a call, and the seconds that were not counted against it."""

    __slots__ = ("limit", "not_counted_s")

    def __init__(self, limit: asyncio.Timeout) -> None:
        self.limit = limit
        self.not_counted_s = 0.0


_CLOCK: ContextVar[CallClock | None] = ContextVar("clock of the call", default=None)


def call_begins(limit: asyncio.Timeout) -> CallClock:
    """Start the clock of the call that the current task makes, and return it."""
    clock = CallClock(limit)
    _CLOCK.set(clock)
    return clock


@contextmanager
def not_counted() -> Iterator[None]:
    """Stop the clock of the current call inside the block."""
    clock = _CLOCK.get()
    ends_at = clock.limit.when() if clock is not None else None
    if clock is None or ends_at is None:
        yield
        return
    loop = asyncio.get_running_loop()
    began = loop.time()
    clock.limit.reschedule(None)
    try:
        yield
    finally:
        waited_s = loop.time() - began
        clock.not_counted_s += waited_s
        clock.limit.reschedule(ends_at + waited_s)
