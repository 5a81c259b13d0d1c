"""Lease chunks: claim, hold, release. The token of a lease fences every write."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from batches.lifecycle import ChunkState
from batches.models import Batch, BatchQuerySet, Chunk, ChunkQuerySet, Slot, lease_end

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


def claim_chunk(
    batch_id: int, *, seconds: float, quarantined: bool = False, probing: bool = False
) -> Lease | None:
    """Lease the first claimable chunk of a batch that may run; return None if there is none.

    Chunks whose runners keep vanishing are in quarantine, and are leased only with `quarantined`.
    PostgreSQL skips rows that other runners are claiming. SQLite has no row locks, so the
    compare-and-set on the token decides: the first runner to update gets the chunk.
    """
    # Claiming an expired lease is itself a crash.
    trusted = Q(state=ChunkState.READY, crashes__lt=CRASHES_TO_QUARANTINE) | Q(
        state=ChunkState.LEASED, crashes__lt=CRASHES_TO_QUARANTINE - 1
    )
    while True:
        with transaction.atomic():
            chunk = (
                Chunk.objects.claimable()
                .filter(~trusted if quarantined else trusted, batch_id=batch_id)
                .filter(batch__in=Batch.objects.runnable(probing=probing).filter(pk=batch_id))
                .order_by("lo")
                .select_for_update(skip_locked=True, of=("self",))
                .first()
            )
            if chunk is None:
                return None
            if lease := _claim(chunk, seconds):
                return lease


def _claim(chunk: Chunk, seconds: float) -> Lease | None:
    crashed = int(chunk.state == ChunkState.LEASED)
    over_suspect = crashed if chunk.suspect is not None else 0
    claimed = (
        Chunk.objects.claimable()
        .filter(pk=chunk.pk, lease_token=chunk.lease_token)
        .update(
            state=ChunkState.LEASED,
            lease_token=F("lease_token") + 1,
            lease_expires_at=lease_end(seconds),
            crashes=F("crashes") + crashed,
            suspect_crashes=F("suspect_crashes") + over_suspect,
        )
    )
    if not claimed:
        return None
    return Lease(
        chunk_id=chunk.pk,
        token=chunk.lease_token + 1,
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
    return _update(lease, lease_expires_at=lease_end(seconds))


def complete(lease: Lease) -> bool:
    """Mark a chunk as done; return False if its lease is lost."""
    return _update(lease, state=ChunkState.DONE, lease_expires_at=None)


def is_done(lease: Lease) -> bool:
    """Return True if a chunk was completed under this lease."""
    return _done(lease).exists()


def reopen(lease: Lease) -> None:
    """Make a completed chunk claimable again."""
    _done(lease).update(state=ChunkState.READY)


def begin_again(chunks: ChunkQuerySet) -> None:
    """Make chunks of an ended batch claimable again, as if none had lost a runner."""
    chunks.update(state=ChunkState.READY, crashes=0, suspect=None, suspect_crashes=0)


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
        Chunk.objects.claimable()
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


def claim_slot(batch_id: int, *, seconds: float, runner: str) -> SlotLease | None:
    """Claim a slot of a batch; return None if there are as many runners as its parallelism."""
    for slot in Slot.objects.claimable().filter(batch_id=batch_id).order_by("number"):
        claimed = (
            Slot.objects.claimable()
            .filter(pk=slot.pk, lease_token=slot.lease_token)
            .update(
                lease_token=F("lease_token") + 1,
                lease_expires_at=lease_end(seconds),
                runner=runner,
                waiting=None,
            )
        )
        if claimed:
            return SlotLease(slot.pk, slot.lease_token + 1)
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
