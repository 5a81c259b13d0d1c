"""One bound for the bytes of requests and replies that all slices of this process hold.

A slice counts a request from its preparation, and its reply from the first byte, until the outcome
is stored or the request is dropped; the few prompts that it reads at once are not counted. When the
bound is reached, more bytes wait until an outcome is stored. There are two exceptions, to rule out
a deadlock: one reply at a time, and the requests of a slice that holds nothing else.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from batches.engine.deadlines import not_counted
from batches.engine.records import PreparedRequest, Reply

# Wait for a condition that may become true when outcomes are stored.
Wait = Callable[[Callable[[], bool]], Awaitable[None]]
Key = tuple[int, int]


class ByteBudget:
    """Count the bytes of all slices, which run in different threads; there is no bound here."""

    def __init__(self) -> None:
        self.held = 0
        self._lock = Lock()
        self._overdrawn_by: object | None = None

    def add(self, size: int) -> None:
        with self._lock:
            self.held += size

    def overdraw(self, reading: object) -> bool:
        """Return True if this reply may exceed the bound now; only one may at a time."""
        with self._lock:
            if self._overdrawn_by is None:
                self._overdrawn_by = reading
            return self._overdrawn_by is reading

    def end(self, reading: object) -> None:
        """Allow another reply to exceed the bound."""
        with self._lock:
            if self._overdrawn_by is reading:
                self._overdrawn_by = None


PROCESS = ByteBudget()


class Memory:
    """The bytes that one slice holds, by request; used inside its event loop."""

    def __init__(
        self,
        wait: Wait,
        *,
        most: int,
        budget: ByteBudget = PROCESS,
        is_stored: Callable[[], bool] = lambda: True,
    ) -> None:
        self._wait = wait
        # A reply may not exceed the bound as long as storing outcomes can make room.
        self._is_stored = is_stored
        self._most = most
        self._budget = budget
        self._held: dict[Key, int] = {}

    @property
    def is_full(self) -> bool:
        return self._budget.held >= self._most

    def has_room_for(self, size: int) -> bool:
        """Return True if requests of this size may be read from the database."""
        return not self._held or self._fits(size)

    def hold(self, request: PreparedRequest) -> None:
        """Count a prepared request."""
        self._add(_key(request), len(request.content))

    def release(self, request: PreparedRequest) -> None:
        """Stop counting a request and its reply: the outcome is stored or dropped."""
        self._budget.add(-self._held.pop(_key(request), 0))

    def release_all(self) -> None:
        """Stop counting all requests and replies of this slice."""
        self._budget.add(-sum(self._held.values()))
        self._held.clear()

    def keep(self, request: PreparedRequest, reply: Reply) -> None:
        """Count a complete reply until its request is released."""
        self._add(_key(request), sys.getsizeof(reply.body) + sys.getsizeof(reply.answer or ""))

    @contextmanager
    def reading(self) -> Iterator["ReplyReading"]:
        """Count the bytes of a reply while it is read."""
        reading = ReplyReading(self)
        try:
            yield reading
        finally:
            self._budget.add(-reading.size)
            self._budget.end(reading)

    async def take(self, reading: "ReplyReading", size: int) -> None:
        """Wait until these bytes may be held, and count them. The wait does not count as the
        provider's latency."""
        if not self._fits(size):
            with not_counted():
                await self._wait(lambda: self._fits(size) or self._may_overdraw(reading))
        self._budget.add(size)

    def _may_overdraw(self, reading: "ReplyReading") -> bool:
        return self._is_stored() and self._budget.overdraw(reading)

    def _fits(self, size: int) -> bool:
        return self._budget.held + size <= self._most

    def _add(self, key: Key, size: int) -> None:
        self._held[key] = self._held.get(key, 0) + size
        self._budget.add(size)


class ReplyReading:
    """A reply that is being read."""

    def __init__(self, memory: Memory) -> None:
        self.size = 0
        self._memory = memory

    async def take(self, size: int) -> None:
        """Wait until this part of the reply may be held."""
        await self._memory.take(self, size)
        self.size += size


def _key(request: PreparedRequest) -> Key:
    return request.index, request.ticket
