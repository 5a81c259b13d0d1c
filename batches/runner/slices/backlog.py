"""The outcomes of a slice that are not stored yet, and the tasks that wait until they are."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from batches.engine.records import Exchange, Outcome

FLUSH_SECONDS = 0.5
FLUSH_ROWS = 200
# Characters of unstored replies that trigger an immediate flush.
FLUSH_CHARS = 4 * 1024 * 1024
# Unstored outcomes, in windows, beyond which nothing is sent.
UNSTORED_WINDOWS = 2


class Backlog:
    """Hold what a slice has received, until a flush has stored it."""

    def __init__(self, batch_size: int) -> None:
        self._most = UNSTORED_WINDOWS * batch_size
        self._exchanges: list[Exchange] = []
        # Outcomes of prompts that were not sent, with the tickets of their chunks.
        self._unsent: list[tuple[int, Outcome]] = []
        # The number of exchanges that are not stored, with the ones of a flush under way.
        self._unstored = 0
        self._chars = 0
        self._short_of_room = 0
        self._flush_now = asyncio.Event()
        self._flushed = asyncio.Condition()

    @property
    def is_empty(self) -> bool:
        """Return True if there is nothing to flush."""
        return not self._exchanges and not self._unsent

    @property
    def is_stored(self) -> bool:
        """Return True if every exchange is stored."""
        return not self._unstored

    @property
    def has_room(self) -> bool:
        """Return True if more calls may be made.

        Including the window in flight, a crash can lose three windows of calls.
        """
        return self._unstored < self._most

    def add(self, exchange: Exchange, *, window: int) -> None:
        """Add an exchange. Flush soon if there are many, or as many as the window."""
        self._exchanges.append(exchange)
        self._unstored += 1
        if exchange.reply is not None:
            self._chars += len(exchange.reply.body)
        is_much = self._chars >= FLUSH_CHARS or len(self._exchanges) >= min(FLUSH_ROWS, window)
        if is_much or self._short_of_room or not self.has_room:
            self.flush_now()

    def add_unsent(self, ticket: int, outcomes: Iterable[Outcome]) -> None:
        """Add outcomes of prompts that were not sent."""
        self._unsent += [(ticket, outcome) for outcome in outcomes]

    def take(self) -> tuple[list[Exchange], list[tuple[int, Outcome]]]:
        """Take everything that is to be stored: exchanges, and outcomes of unsent prompts."""
        taken = self._exchanges, self._unsent
        self._exchanges, self._unsent, self._chars = [], [], 0
        return taken

    def stored(self, count: int) -> None:
        """Record that this many exchanges are stored."""
        self._unstored -= count

    async def flushed(self) -> None:
        """Let all tasks that wait check their conditions."""
        async with self._flushed:
            self._flushed.notify_all()

    def flush_now(self) -> None:
        """Do not wait for the next flush."""
        self._flush_now.set()

    async def until_due(self) -> None:
        """Wait until the next flush is due."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._flush_now.wait()
        except TimeoutError:
            pass
        self._flush_now.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that a flush may make true."""
        async with self._flushed:
            await self._flushed.wait_for(condition)

    async def for_room(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that storing makes true. Also used in a stop: a started reply is
        read fully."""
        with self.short_of_room():
            await self.until(condition)

    @contextmanager
    def short_of_room(self) -> Iterator[None]:
        """Store every outcome at once while a prompt or reply waits for room."""
        self._short_of_room += 1
        if not self.is_empty:
            self.flush_now()
        try:
            yield
        finally:
            self._short_of_room -= 1
