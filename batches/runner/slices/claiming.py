"""Phase 1 of a slice: lease chunks, read their prompts as there is room, and prepare them."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from operator import attrgetter

from batches.engine.records import Outcome, PreparedRequest
from batches.runner.holdings import PIECE_BYTES, HeldChunk
from batches.runner.slices.parts import SliceParts
from batches.runner.slices.preparing import Preparation
from batches.runner.slices.quarantine import take_blamed

Requests = AsyncIterator[Sequence[PreparedRequest]]

# Chunks for this time of work are claimed together, up to a number: other runners get none of them,
# and each of them counts a crash if this runner vanishes.
CLAIM_S = 0.5
MOST_CLAIMED = 64
# The first chunks only fill the window and the queue, so they do not show the pace.
FILLING_ROUNDS = 2
# The number of prompts that are claimed at once to find the ones that begin alike.
LOOK_AHEAD = 2_000


def next_most(claimed: int, lasted_s: float) -> int:
    """Return the number of chunks to claim next, since the last ones lasted for this time."""
    wanted = int(claimed * CLAIM_S / max(lasted_s, 0.001))
    return _rounded(min(wanted, 2 * claimed))


def _rounded(wanted: int) -> int:
    """Return a number of chunks within the bounds: a power of two, since a statement is compiled
    for each number."""
    return 1 << (max(1, min(wanted, MOST_CLAIMED)).bit_length() - 1)


class Claiming:
    """Yield the requests of claimed chunks. `is_idle` returns True if all requests so far are
    delivered."""

    def __init__(self, parts: SliceParts, *, is_idle: Callable[[], bool]) -> None:
        self._batch = parts.batch
        self._parts = parts
        self._preparation = Preparation(parts.batch)
        self._is_idle = is_idle

    async def claim(self, *, quarantined: bool) -> HeldChunk | None:
        """Lease the next chunk."""
        chunks = await self._claim(1, quarantined=quarantined)
        return chunks[0] if chunks else None

    async def _claim(self, most: int, *, quarantined: bool) -> list[HeldChunk]:
        """Lease the next chunks. Renew held leases first, so that we do not claim our own chunk."""
        parts = self._parts
        await parts.until_trusted()
        if parts.leaving.is_decided:
            return []
        claim = parts.store.claim
        chunks = await parts.database.call(claim, most=most, quarantined=quarantined)
        for chunk in chunks:
            parts.held.add(chunk)
        return chunks

    def chunks(self) -> Requests:
        """Yield the requests of all chunks that can be claimed, in the order of the batch."""
        return self._by_prefix() if self._batch.order == "prefix" else self._by_input()

    async def _by_input(self) -> Requests:
        most, claimed_at, rounds = 1, time.monotonic(), 0
        while chunks := await self._claim(most, quarantined=False):
            for chunk in chunks:
                async for requests in self._requests_of(chunk):
                    yield requests
            lasted_s = time.monotonic() - claimed_at
            rounds, claimed_at = rounds + 1, claimed_at + lasted_s
            if rounds > FILLING_ROUNDS:
                most = next_most(len(chunks), lasted_s)

    async def _by_prefix(self) -> Requests:
        """Yield requests that begin alike together, among the chunks that are claimed at once.

        Equal beginnings are equal bytes of the bodies, so that sorting brings them together.
        """
        size = self._batch.batch_size
        most = _rounded(LOOK_AHEAD // size)
        while chunks := await self._claim(most, quarantined=False):
            async for requests in self._ahead(chunks):
                requests.sort(key=attrgetter("content"))
                for first in range(0, len(requests), size):
                    yield requests[first : first + size]

    async def _ahead(self, chunks: Sequence[HeldChunk]) -> AsyncIterator[list[PreparedRequest]]:
        """Yield the requests of these chunks together, or what there is room for."""
        found: list[PreparedRequest] = []
        for chunk in chunks:
            async for requests in self._requests_of(chunk):
                found += requests
                if not self._may_read(PIECE_BYTES):
                    yield found
                    found = []
        yield found

    async def quarantine(self, chunk: HeldChunk) -> Requests:
        """Yield the requests of a quarantined chunk one by one, without prompts that are to blame.

        Each prompt is recorded before it is prepared, after the previous outcome is stored.
        """
        parts = self._parts
        parts.backlog.add_unsent(chunk.lease.token, take_blamed(chunk))
        while parts.held.holds(chunk) and await self._read(chunk):
            parts.backlog.flush_now()
            await parts.until(self._is_at_rest)
            await parts.until_trusted()
            index = chunk.prompts[0].index
            if parts.leaving.is_decided or not await parts.database.call(
                parts.store.mark, chunk.lease, index
            ):
                return
            yield await self._prepare(chunk, most=1)

    async def probe(self) -> Requests:
        """Yield one random request, since the first prompt may be the cause of the failures."""
        for quarantined in (False, True):
            while chunk := await self.claim(quarantined=quarantined):
                chunk.shuffle()
                requests_of = self.quarantine if quarantined else self._requests_of
                async for requests in requests_of(chunk):
                    if requests:
                        for unused in requests[1:]:
                            self._parts.memory.release(unused)
                        yield requests[:1]
                        return

    async def _requests_of(self, chunk: HeldChunk) -> Requests:
        """Yield the requests of a chunk. With the rolling schedule, some are sent while others
        are still being prepared; with lockstep, prompts that are read together are sent
        together."""
        requests: list[PreparedRequest] = []
        while self._parts.held.holds(chunk) and await self._read(chunk):
            requests += await self._prepare(chunk, most=self._batch.batch_size)
            if self._batch.schedule == "rolling" or not chunk.prompts:
                yield requests
                requests = []
        if requests:
            yield requests

    async def _read(self, chunk: HeldChunk) -> bool:
        """Read prompts of a chunk when there is room; return True if there are any to prepare."""
        if not chunk.prompts and chunk.unread:
            await self._read_piece(chunk, chunk.next_piece())
        return bool(chunk.prompts) and not self._parts.leaving.is_decided

    async def _read_piece(self, chunk: HeldChunk, indexes: Sequence[int]) -> None:
        parts = self._parts
        size = sum(chunk.unread[index] for index in indexes)
        if not self._may_read(size):
            with parts.backlog.short_of_room():
                await parts.until(partial(self._may_read, size))
        if not parts.leaving.is_decided:
            chunk.read(indexes, await parts.database.call(parts.store.read, chunk, indexes))

    def _may_read(self, size: int) -> bool:
        # At rest, always read: a held-back refusal waits for a later call to decide it.
        parts = self._parts
        return parts.leaving.makes_room or parts.memory.has_room_for(size) or self._is_at_rest()

    def _is_at_rest(self) -> bool:
        return self._is_idle() and self._parts.backlog.is_stored and self._parts.backlog.is_empty

    async def _prepare(self, chunk: HeldChunk, *, most: int) -> list[PreparedRequest]:
        items = await self._preparation.piece(chunk, most=most)
        failed = [item for item in items if isinstance(item, Outcome)]
        self._parts.backlog.add_unsent(chunk.lease.token, failed)
        requests = [item for item in items if isinstance(item, PreparedRequest)]
        for request in requests:
            self._parts.memory.hold(request)
        return requests
