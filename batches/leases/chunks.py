"""Lease chunks: claim, hold, release. The token of a lease fences every write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.db.models import CharField, F, IntegerField, Q

from batches.database import transaction
from batches.leases.pilot_sample import PilotSample
from batches.lifecycle import ChunkState
from batches.models import Batch, BatchQuerySet, Chunk, ChunkQuerySet, Slot, lease_end
from batches.models.bounds import IDS_IN_A_QUERY
from batches.models.statements import (
    Compiled,
    Statement,
    end_after,
    hole,
    length,
    query_of,
    update_of,
)

# After losing this many runners, a chunk is run one prompt at a time.
CRASHES_TO_QUARANTINE = 2


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a chunk, until it expires or its token is no longer the newest."""

    chunk_id: int
    token: int
    lo: int
    hi: int
    # In quarantine: the prompt that was being prepared or sent when a runner vanished, and the
    # number of runners that vanished over it.
    suspect: int | None = None
    suspect_crashes: int = 0
    # The number of vanished runners of the chunk.
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class SlotLease:
    """The right to be a runner of a batch."""

    slot_id: int
    token: int


def claim_chunks(
    batch_id: int, *, most: int, seconds: float, quarantined: bool = False, probing: bool = False
) -> list[Lease]:
    """Lease up to `most` claimable chunks of a batch that may run, the first ones, in order.

    Chunks whose runners keep vanishing are in quarantine, and are leased only with `quarantined`.
    PostgreSQL skips rows that other runners are claiming. SQLite has no row locks, so the
    compare-and-set on the token decides: the first runner to update gets the chunk.
    """
    find = _claimable(most, quarantined, probing)
    while True:
        # All or nothing with the transaction around it, so a savepoint is of no use.
        with transaction.atomic(savepoint=False):
            chunks = [_Found(*row) for row in find.rows(batch=batch_id)]
            leases = [lease for chunk in chunks if (lease := _claim(chunk, seconds))]
        if leases or not chunks:
            return leases


@dataclass(frozen=True, slots=True)
class _Found:
    """A claimable chunk, as read from the database."""

    pk: int
    lo: int
    hi: int
    state: str
    token: int
    crashes: int
    suspect: int | None
    suspect_crashes: int


@cache
def _claimable(most: int, quarantined: bool, probing: bool) -> Statement:  # noqa: FBT001 - a key
    """Return the query for the first claimable chunks of a batch."""
    # Claiming an expired lease is itself a crash.
    trusted = Q(state=ChunkState.READY, crashes__lt=CRASHES_TO_QUARANTINE) | Q(
        state=ChunkState.LEASED, crashes__lt=CRASHES_TO_QUARANTINE - 1
    )

    def build() -> Compiled:
        runnable = Batch.objects.runnable(probing=probing).filter(pk=hole("batch"))
        found = (
            Chunk.objects.claimable()
            .filter(~trusted if quarantined else trusted, batch_id=hole("batch"))
            .filter(batch__in=runnable)
            .order_by("lo")
            .select_for_update(skip_locked=True, of=("self",))
        )
        names = ("pk", "lo", "hi", "state", "lease_token", "crashes", "suspect", "suspect_crashes")
        return query_of(found.values_list(*names)[:most])

    return Statement(build)


def _claim(chunk: _Found, seconds: float) -> Lease | None:
    crashed = int(chunk.state == ChunkState.LEASED)
    over_suspect = crashed if chunk.suspect is not None else 0
    claimed = _CLAIM.run(
        chunk=chunk.pk,
        token=chunk.token,
        length=length(seconds),
        crashed=crashed,
        over_suspect=over_suspect,
    )
    if not claimed:
        return None
    return Lease(
        chunk_id=chunk.pk,
        token=chunk.token + 1,
        lo=chunk.lo,
        hi=chunk.hi,
        suspect=chunk.suspect,
        suspect_crashes=chunk.suspect_crashes + over_suspect,
        crashes=chunk.crashes + crashed,
    )


def mark_suspect(lease: Lease, index: int) -> bool:
    """Record the next prompt of a quarantined chunk; return False if the lease is lost.

    A new suspect starts without crashes.
    """
    if lease.suspect == index:
        return _update(lease, suspect=index)
    return _update(lease, suspect=index, suspect_crashes=0)


def hold(lease: Lease, *, seconds: float) -> bool:
    """Renew a lease; return False if it is lost."""
    return bool(_RENEW.run(chunk=lease.chunk_id, token=lease.token, length=length(seconds)))


def complete(lease: Lease) -> bool:
    """Mark a chunk as done; return False if its lease is lost."""
    return bool(_COMPLETE.run(chunk=lease.chunk_id, token=lease.token))


def is_done(lease: Lease) -> bool:
    """Return True if a chunk was completed under this lease."""
    return _done(lease).exists()


def reopen(lease: Lease) -> None:
    """Make a completed chunk claimable again."""
    _done(lease).update(state=ChunkState.READY)


def begin_again(chunks: ChunkQuerySet, *, pilot: PilotSample | None = None) -> None:
    """Make chunks of an ended batch claimable again, as if none had lost a runner.

    With a pilot whose gate was never opened, chunks with other prompts wait behind the gate again.
    """
    fresh = {"crashes": 0, "suspect": None, "suspect_crashes": 0}
    if pilot is None:
        chunks.update(state=ChunkState.READY, **fresh)
        return
    of_pilot: dict[bool, list[int]] = {True: [], False: []}
    for pk, lo in chunks.values_list("pk", "lo"):
        of_pilot[pilot.has(lo)].append(pk)
    for is_first, state in ((True, ChunkState.READY), (False, ChunkState.WAITING)):
        ids = of_pilot[is_first]
        for start in range(0, len(ids), IDS_IN_A_QUERY):
            some = Chunk.objects.filter(pk__in=ids[start : start + IDS_IN_A_QUERY])
            some.update(state=state, **fresh)


def open_gate(batch_id: int) -> bool:
    """Make the chunks that wait for the pilot claimable; return False if the pilot has open chunks
    or none waits.

    Call it in a transaction that has updated the batch, so that no retry of the pilot intervenes.
    """
    chunks = Chunk.objects.filter(batch=batch_id)
    if chunks.before_gate().exists():
        return False
    return bool(chunks.behind_gate().update(state=ChunkState.READY))


@dataclass(frozen=True, slots=True)
class ClosedChunk:
    """A chunk that no runner can claim any more, and its prompts from `lo` up to before `hi`."""

    batch_id: int
    lo: int
    hi: int


def close_unheld(batches: BatchQuerySet, *, most: int) -> list[ClosedChunk]:
    """Mark up to `most` unleased chunks of these batches done; return what was closed.

    Call it in a transaction. The token grows as with any claim, so that a runner whose lease has
    run out stores nothing more.
    """
    chunks = (
        Chunk.objects.unheld()
        .filter(batch__in=batches)
        .order_by("lo")
        .select_for_update(skip_locked=True, of=("self",))[:most]
    )
    return [
        ClosedChunk(chunk.batch_id, chunk.lo, chunk.hi)
        for chunk in chunks
        if Chunk.objects.filter(pk=chunk.pk, lease_token=chunk.lease_token).update(
            state=ChunkState.DONE, lease_expires_at=None, lease_token=F("lease_token") + 1
        )
    ]


def _done(lease: Lease) -> ChunkQuerySet:
    return Chunk.objects.filter(pk=lease.chunk_id, lease_token=lease.token, state=ChunkState.DONE)


def release(leases: Iterable[Lease]) -> None:
    """Release chunks, so that another runner can claim them at once."""
    for lease in leases:
        _update(lease, state=ChunkState.READY, lease_expires_at=None)


def _update(lease: Lease, **values: object) -> bool:
    held = Chunk.objects.filter(pk=lease.chunk_id, lease_token=lease.token, state=ChunkState.LEASED)
    return bool(held.update(**values))


def _held_chunk() -> ChunkQuerySet:
    """Select the chunk in the hole, if its lease is still held."""
    return Chunk.objects.filter(
        pk=hole("chunk"), lease_token=hole("token"), state=ChunkState.LEASED
    )


# What a runner does with each chunk, compiled once.
_CLAIM = Statement(
    lambda: update_of(
        Chunk.objects.claimable().filter(pk=hole("chunk"), lease_token=hole("token")),
        state=ChunkState.LEASED,
        lease_token=F("lease_token") + 1,
        lease_expires_at=end_after("length"),
        crashes=F("crashes") + hole("crashed", IntegerField()),
        suspect_crashes=F("suspect_crashes") + hole("over_suspect", IntegerField()),
    )
)
_RENEW = Statement(lambda: update_of(_held_chunk(), lease_expires_at=end_after("length")))
_COMPLETE = Statement(
    lambda: update_of(_held_chunk(), state=ChunkState.DONE, lease_expires_at=None)
)


_FREE_SLOTS = Statement(
    lambda: query_of(
        Slot.objects.claimable()
        .filter(batch_id=hole("batch"))
        .order_by("number")
        .values_list("pk", "lease_token")
    )
)
_TAKE_SLOT = Statement(
    lambda: update_of(
        Slot.objects.claimable().filter(pk=hole("slot"), lease_token=hole("token")),
        lease_token=F("lease_token") + 1,
        lease_expires_at=end_after("length"),
        runner=hole("runner", CharField()),
        waiting=None,
    )
)


def claim_slot(batch_id: int, *, seconds: float, runner: str) -> SlotLease | None:
    """Claim a slot of a batch; return None if there are as many runners as its parallelism."""
    for slot_id, token in _FREE_SLOTS.rows(batch=batch_id):
        if _TAKE_SLOT.run(slot=slot_id, token=token, length=length(seconds), runner=runner):
            return SlotLease(slot_id, token + 1)
    return None


def hold_slot(slot: SlotLease, *, seconds: float) -> bool:
    """Renew the lease of a slot; return False if it is lost."""
    held = Slot.objects.filter(pk=slot.slot_id, lease_token=slot.token)
    return bool(held.update(lease_expires_at=lease_end(seconds)))


def note_waiting(slot: SlotLease, waiting: Mapping[str, Any] | None) -> None:
    """Store what the runner in a slot waits for."""
    Slot.objects.filter(pk=slot.slot_id, lease_token=slot.token).update(waiting=waiting)


def release_slot(slot: SlotLease) -> None:
    """Release a slot, if its lease is not lost."""
    held = Slot.objects.filter(pk=slot.slot_id, lease_token=slot.token)
    held.update(lease_expires_at=None, runner="", waiting=None)
