"""Store refused outcomes in pieces.

A refused half is halved again until the row at fault is alone. The storable part of that row is
stored as a failure; the other rows are stored unchanged.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

from batches.database import is_absent
from batches.engine.errors import FailureKind
from batches.engine.plain_text import storable_text
from batches.engine.records import Outcome, Usage
from batches.leases.chunks import Lease
from batches.models.bounds import Unstorable
from batches.runner.results import ChunkOutcomes

logger = logging.getLogger(__name__)

# If this many rows are refused and none is stored, the rows are probably not at fault.
REFUSED_TO_DOUBT = 8
MAX_REASON_CHARS = 500
MAX_ANSWER_CHARS = 1000

Store = Callable[[Sequence[ChunkOutcomes]], Sequence[Lease]]
StoreUnwritten = Callable[[str, Sequence[ChunkOutcomes]], Sequence[Lease]]
Forms = Callable[[ChunkOutcomes, str], Iterator[ChunkOutcomes]]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The stored outcomes, the lost leases, and the refused outcomes.

    `refused` are chunks with the outcomes left to store; `reason` is the database's last error.
    """

    stored: Sequence[ChunkOutcomes] = ()
    lost: frozenset[Lease] = frozenset()
    refused: Sequence[ChunkOutcomes] = ()
    reason: str = ""


def store_in_pieces(
    chunks: Sequence[ChunkOutcomes],
    store: Store,
    *,
    reduce: bool,
    unwritten: StoreUnwritten | None = None,
) -> Pieces:
    """Store the outcomes of these chunks as far as the database accepts them.

    A refused outcome is reduced to a failure. If it is doubtful that the outcomes are at fault,
    they are reduced only with `reduce`, and only if the whole reply can be kept. `store` stores
    chunks, all or none, and leaves out rows that are stored already. `unwritten` does the same for
    answers about rows of the project, but records for this reason that they were not written
    there. Raise the database's error if the database is absent; rows stored before that stay
    stored.
    """
    halving = _Halving(store, unwritten)
    halving.store([_only(chunk, outcome) for chunk in chunks for outcome in chunk.outcomes])
    if not halving.is_doubtful:
        halving.reduce(_forms)
    elif reduce:
        halving.reduce(_whole_forms)
    return halving.close(chunks)


def _only(chunk: ChunkOutcomes, outcome: Outcome) -> ChunkOutcomes:
    return replace(chunk, outcomes=[outcome], done=False)


class _Halving:
    """Store rows, each a chunk with one outcome; halve them repeatedly if they are refused."""

    def __init__(self, store: Store, unwritten: StoreUnwritten | None) -> None:
        self._store = store
        self._unwritten = unwritten
        self._stored: list[ChunkOutcomes] = []
        self._lost: set[Lease] = set()
        self._refused: list[ChunkOutcomes] = []
        self._reason = ""

    @property
    def is_doubtful(self) -> bool:
        """Return True if the database refuses so much that the rows are probably not at fault."""
        return len(self._refused) >= REFUSED_TO_DOUBT and not self._stored

    def store(self, rows: Sequence[ChunkOutcomes]) -> None:
        """Store unchanged rows."""
        if not rows or (not self.is_doubtful and self._try(rows)):
            return
        if len(rows) == 1 or self.is_doubtful:
            if self.is_doubtful or not self._try_unwritten(rows):
                self._refused += rows
            return
        self.store(rows[: len(rows) // 2])
        self.store(rows[len(rows) // 2 :])

    def reduce(self, forms: Forms) -> None:
        """Store each refused row in the fullest form that the database accepts."""
        rows, self._refused = self._refused, []
        for row in rows:
            if self.is_doubtful or not self._try_forms(row, forms):
                self._refused.append(row)

    def close(self, chunks: Sequence[ChunkOutcomes]) -> Pieces:
        """Renew or complete the chunks themselves, after their outcomes; return the result."""
        left = {(row.lease, outcome.index) for row in self._refused for outcome in row.outcomes}
        rest = [
            replace(chunk, outcomes=[o for o in chunk.outcomes if (chunk.lease, o.index) in left])
            for chunk in chunks
            if chunk.lease not in self._lost
        ]
        closed = [replace(c, outcomes=(), done=c.done and not c.outcomes) for c in rest]
        refused = [chunk for chunk in rest if chunk.outcomes] if self._try(closed) else rest
        return Pieces(self._stored, frozenset(self._lost), refused, self._reason)

    def _try_forms(self, row: ChunkOutcomes, forms: Forms) -> bool:
        """Store one outcome unchanged, else reduced; return True if it is stored."""
        if self._try([row]):
            return True
        [outcome] = row.outcomes
        why = self._reason
        logger.error("The outcome of prompt %d cannot be stored unchanged: %s", outcome.index, why)
        return any(self._try([form]) for form in forms(row, why))

    def _try_unwritten(self, rows: Sequence[ChunkOutcomes]) -> bool:
        """Store rows whose answers were perhaps refused by the project's tables; as `_try`."""
        if self._unwritten is None:
            return False
        return self._try(rows, partial(self._unwritten, self._reason))

    def _try(self, rows: Sequence[ChunkOutcomes], store: Store | None = None) -> bool:
        """Store rows, all or nothing; return True if they are stored, or their lease is lost."""
        try:
            self._lost.update((store or self._store)(_joined(rows)))
        except Exception as error:
            if is_absent(error):
                raise
            self._reason = reason_of(error)
            return False
        self._stored += [row for row in rows if row.lease not in self._lost]
        return True


def _joined(rows: Sequence[ChunkOutcomes]) -> list[ChunkOutcomes]:
    """Return rows as chunks: a lease is renewed once in a transaction, not once for each row."""
    found: dict[Lease, ChunkOutcomes] = {}
    for row in rows:
        before = found.get(row.lease)
        outcomes = [*before.outcomes, *row.outcomes] if before else row.outcomes
        found[row.lease] = replace(row, outcomes=outcomes)
    return list(found.values())


def _forms(row: ChunkOutcomes, reason: str) -> Iterator[ChunkOutcomes]:
    """Yield an outcome as a failure, each time with less of the reply."""
    [outcome] = row.outcomes
    what = f"the reply was received, but could not be stored as it is: {reason}"
    failed = replace(
        outcome,
        status="failed",
        kind=FailureKind.UNSTORABLE,
        code=FailureKind.UNSTORABLE.value,
        message=what,
        request_id="",
        finish_reason="",
        parsed=None,
        rung=None,
        rejected=(),
        asked=(),
    )
    in_message = replace(failed, body=None, message=what + _quoted(outcome.answer))
    unpaid: dict[str, Any] = {"usage": Usage(), "latency_s": 0.0, "busy_s": 0.0, "elapsed_s": 0.0}
    yield replace(row, outcomes=[failed])
    yield replace(row, outcomes=[in_message])
    yield replace(row, outcomes=[replace(failed, **unpaid)], costs=_NO_COSTS)
    yield replace(row, outcomes=[replace(in_message, **unpaid)], costs=_NO_COSTS)
    bare = replace(in_message, **unpaid, message=what, status_code=None, calls=0)
    yield replace(row, outcomes=[bare], costs=_NO_COSTS)


def _whole_forms(row: ChunkOutcomes, reason: str) -> Iterator[ChunkOutcomes]:
    """Yield only the forms that keep the whole reply."""
    return (form for form in _forms(row, reason) if form.outcomes[0].body is not None)


_NO_COSTS: dict[int, Decimal] = {}


def _quoted(answer: str | None) -> str:
    """Return the start of an answer in plain ASCII, which no database refuses."""
    return f"; it began with {answer[:MAX_ANSWER_CHARS]!a}" if answer else ""


def reason_of(error: Exception) -> str:
    """Return the reason of a database's refusal in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    name = "" if isinstance(error, Unstorable) else f"{type(error).__name__}: "
    return storable_text(f"{name}{text}"[:MAX_REASON_CHARS])
