"""The clock of a call. It can be stopped for waits that the provider did not cause.

All calls of a run share one timer, since a timer for each call costs more than the rest of its
clock.
"""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from math import inf

# Calls whose time is over within this time are ended together.
GRAIN_S = 0.01


class Deadlines:
    """Cancel each call whose time is over, with one timer for all calls of an event loop."""

    def __init__(self) -> None:
        self._running: set[CallClock] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due_at = inf

    def begin(self, limit_s: float) -> "CallClock":
        """Start the clock of the call that the current task makes, and return it."""
        clock = CallClock(self, asyncio.get_running_loop().time() + limit_s)
        self._running.add(clock)
        self.watch(clock.ends_at)
        _CLOCK.set(clock)
        return clock

    def end(self, clock: "CallClock") -> None:
        """Stop a clock: the call is over."""
        self._running.discard(clock)
        clock.forgive()

    def watch(self, ends_at: float) -> None:
        """Set the timer if it is not set for this time or an earlier one."""
        if ends_at < self._due_at:
            self.close()
            self._due_at = ends_at
            self._timer = asyncio.get_running_loop().call_at(ends_at, self._expire)

    def close(self) -> None:
        """Stop the timer."""
        self._due_at = inf
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        """Cancel the calls whose time is over, and set the timer for the next one."""
        self._due_at = inf
        now = asyncio.get_running_loop().time()
        for clock in [clock for clock in self._running if clock.ends_at <= now]:
            self._running.discard(clock)
            clock.expire()
        self.watch(max(min((clock.ends_at for clock in self._running), default=inf), now + GRAIN_S))


class CallClock:
    """The time limit of a call, and the seconds that were not counted against it.

    `ends_at` is a time of the event loop; infinite while the clock is stopped.
    """

    __slots__ = ("_cancelled_before", "_deadlines", "_expired", "_task", "ends_at", "not_counted_s")

    def __init__(self, deadlines: Deadlines, ends_at: float) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call must be made in a task")
        self.ends_at = ends_at
        self._expired = False
        self.not_counted_s = 0.0
        self._deadlines = deadlines
        self._task = task
        self._cancelled_before = task.cancelling()

    def expire(self) -> None:
        """Cancel the call: its time is over."""
        self._expired = True
        self._task.cancel()

    def forgive(self) -> bool:
        """Take back the cancellation by `expire`; return True if no other code did."""
        if not self._expired:
            return False
        self._expired = False
        return self._task.uncancel() <= self._cancelled_before

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the clock inside the block."""
        loop, ends_at = asyncio.get_running_loop(), self.ends_at
        began, self.ends_at = loop.time(), inf
        try:
            yield
        finally:
            waited_s = loop.time() - began
            self.not_counted_s += waited_s
            self.ends_at = ends_at + waited_s
            self._deadlines.watch(self.ends_at)


_CLOCK: ContextVar[CallClock | None] = ContextVar("clock of the call", default=None)


def not_counted() -> AbstractContextManager[None]:
    """Stop the clock of the current call, if there is one, inside the block."""
    clock = _CLOCK.get()
    return nullcontext() if clock is None else clock.stopped()
