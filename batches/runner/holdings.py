"""The chunks that a runner has leased, and their prompts without an outcome."""

import random
import time
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from batches.conf import conf
from batches.engine.errors import FailureKind
from batches.engine.records import Outcome, PreparedRequest
from batches.leases.chunks import Lease
from batches.runner.results import ChunkOutcomes

# The most bytes of prompts that are read together; a longer prompt is read alone.
PIECE_BYTES = 4 * 1024 * 1024
RENEWALS_PER_LEASE = 4
# A runner that has not renewed for this share of the lease sends nothing until a renewal succeeds.
TRUSTED_SHARE_OF_LEASE = 0.7


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """A prompt as it is stored; its body is JSON text until it is prepared."""

    index: int
    custom_id: str
    body: str


def never_sent(index: int, kind: FailureKind, message: str) -> Outcome:
    """Return the failed outcome of a prompt that was not sent."""
    return Outcome(
        index=index, custom_id="", status="failed", kind=kind, code=kind.value, message=message
    )


@dataclass(slots=True)
class HeldChunk:
    """A leased chunk, with the ids of the prompts that had no result when it was claimed (by
    index), and the indexes of the prompts without an outcome (`open`).

    `unread` are the sizes, in bytes, of the prompts still to be read from the database; `prompts`
    are the prompts that are read and still to be prepared.
    """

    lease: Lease
    prompt_ids: dict[int, int]
    unread: dict[int, int]
    open: set[int]
    prompts: deque[StoredPrompt] = field(default_factory=deque)

    def next_piece(self) -> list[int]:
        """Return the indexes of the prompts to read together next, at least one."""
        piece: list[int] = []
        total = 0
        for index, size in self.unread.items():
            total += size
            if piece and total > PIECE_BYTES:
                break
            piece.append(index)
        return piece

    def read(self, indexes: Sequence[int], prompts: Iterable[StoredPrompt]) -> None:
        """Add the prompts that were read under these indexes."""
        self.prompts += prompts
        self.leave_out(indexes)

    def leave_out(self, indexes: Iterable[int]) -> None:
        """Do not read these prompts."""
        for index in indexes:
            del self.unread[index]

    def prepared(self, count: int) -> None:
        """Remove the first prompts: they are prepared."""
        for _ in range(count):
            self.prompts.popleft()

    def close(self, index: int) -> None:
        """Record that a prompt has an outcome."""
        self.open.discard(index)

    def shuffle(self) -> None:
        """Read the prompts in a random order from now on."""
        self.unread = dict(random.sample(list(self.unread.items()), len(self.unread)))


class Holdings:
    """The chunks of a runner. The ticket of a request is the token of the lease under which it is
    sent: its outcome counts only while that lease is held.

    A runner that was frozen may claim a chunk again whose old calls are still in flight.
    """

    def __init__(self) -> None:
        self._chunks: dict[int, HeldChunk] = {}
        # The first indexes of the chunks, sorted: around the prompts of a pilot, chunks are short.
        self._starts: list[int] = []
        self._renewed_at = time.monotonic()

    @property
    def are_trusted(self) -> bool:
        """Return True if no lease can have expired."""
        age_s = time.monotonic() - self._renewed_at
        return age_s < TRUSTED_SHARE_OF_LEASE * conf().LEASE_SECONDS

    @property
    def are_due(self) -> bool:
        """Return True if the leases are to be renewed."""
        age_s = time.monotonic() - self._renewed_at
        return age_s > conf().LEASE_SECONDS / RENEWALS_PER_LEASE

    def renewed(self, sent_at: float) -> None:
        """Record a renewal of all leases that was sent at this time (monotonic)."""
        self._renewed_at = sent_at

    def add(self, chunk: HeldChunk) -> None:
        if chunk.lease.lo not in self._chunks:
            insort(self._starts, chunk.lease.lo)
        self._chunks[chunk.lease.lo] = chunk

    def holds(self, chunk: HeldChunk) -> bool:
        """Return True if a chunk is still held under its original lease."""
        return self._chunks.get(chunk.lease.lo) is chunk

    def chunk_of(self, request: PreparedRequest) -> HeldChunk | None:
        """Return the chunk of a request, or None if it is not held or has an outcome already."""
        return self._find(request.index, request.ticket)

    @property
    def leases(self) -> list[Lease]:
        return [chunk.lease for chunk in self._chunks.values()]

    def close(
        self,
        outcomes: Iterable[tuple[int, Outcome]],
        costs: Mapping[int, Decimal],
        *,
        renewing: bool,
    ) -> list[ChunkOutcomes]:
        """Close prompts with these outcomes (ticket and outcome) and return the outcomes by chunk.

        If leases are due for renewal, return all chunks. Outcomes under a lost lease are dropped:
        the chunk's new runner stores its own outcomes.
        """
        found: dict[int, list[Outcome]] = {lo: [] for lo in self._chunks}
        for ticket, outcome in outcomes:
            chunk = self._find(outcome.index, ticket)
            if chunk is not None:
                chunk.close(outcome.index)
                found[chunk.lease.lo].append(outcome)
        return [
            ChunkOutcomes(chunk.lease, some, chunk.prompt_ids, not chunk.open, costs)
            for chunk, some in ((self._chunks[lo], some) for lo, some in found.items())
            if some or renewing or not chunk.open
        ]

    def let_go(self, chunks: Iterable[ChunkOutcomes], lost: Collection[Lease]) -> None:
        """Stop holding chunks that are done or lost."""
        for chunk in chunks:
            held = self._chunks.get(chunk.lease.lo)
            over = chunk.done or chunk.lease in lost
            if over and held is not None and held.lease == chunk.lease:
                del self._chunks[chunk.lease.lo]
                self._starts.remove(chunk.lease.lo)

    def _find(self, index: int, ticket: int) -> HeldChunk | None:
        place = bisect_right(self._starts, index)
        chunk = self._chunks[self._starts[place - 1]] if place else None
        if chunk is None or chunk.lease.token != ticket or index not in chunk.open:
            return None
        return chunk
