"""Chunks are leased: claim, hold, release. The token of a lease is the fence of every write."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import F

from batches.lifecycle import BatchStatus, ChunkState
from batches.models import Chunk, lease_end


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a chunk, until it expires or its token is no longer the newest."""

    chunk_id: int
    token: int
    lo: int
    hi: int


def claim_chunk(batch_id: int, *, seconds: float) -> Lease | None:
    """Lease the first claimable chunk of a batch in progress; None if there is none.

    A compare-and-set on the token, since SQLite has no row locks: whoever updates first has it.
    """
    while True:
        chunk = (
            Chunk.objects.claimable()
            .filter(batch_id=batch_id, batch__status=BatchStatus.IN_PROGRESS)
            .filter(batch__pause_reason="")
            .order_by("lo")
            .only("lo", "hi", "state", "lease_token", "crashes")
            .first()
        )
        if chunk is None:
            return None
        claimed = (
            Chunk.objects.claimable()
            .filter(pk=chunk.pk, lease_token=chunk.lease_token)
            .update(
                state=ChunkState.LEASED,
                lease_token=F("lease_token") + 1,
                lease_expires_at=lease_end(seconds),
                crashes=F("crashes") + (chunk.state == ChunkState.LEASED),
            )
        )
        if claimed:
            return Lease(chunk.pk, chunk.lease_token + 1, chunk.lo, chunk.hi)


def hold(lease: Lease, *, seconds: float) -> bool:
    """Renew a lease; False if it is lost."""
    return _update(lease, lease_expires_at=lease_end(seconds))


def complete(lease: Lease) -> bool:
    """Mark a chunk done; False if its lease is lost."""
    return _update(lease, state=ChunkState.DONE, lease_expires_at=None)


def release(leases: Iterable[Lease]) -> None:
    """Give chunks back, so that another runner can claim them at once."""
    for lease in leases:
        _update(lease, state=ChunkState.READY, lease_expires_at=None)


def _update(lease: Lease, **values: object) -> bool:
    held = Chunk.objects.filter(pk=lease.chunk_id, lease_token=lease.token, state=ChunkState.LEASED)
    return bool(held.update(**values))
