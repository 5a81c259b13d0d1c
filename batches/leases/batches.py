"""A batch itself is leased to whoever reads its input, and at its end to whoever closes it.

A lease that is given back takes its token along. So the token counts the holders that vanished,
and the one at work; that of a holder that was thought gone is always behind.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from batches.lifecycle import BatchStatus
from batches.models import Batch, BatchQuerySet, lease_end


@dataclass(frozen=True, slots=True)
class BatchLease:
    """The right to work on a batch as long as it is in one of these statuses."""

    batch_id: int
    token: int
    statuses: Collection[BatchStatus]


def claim_batch(batch_id: int, *, statuses: Collection[BatchStatus]) -> BatchLease | None:
    """Lease a batch; None if somebody else has it, or it is in another status."""
    free = Q(ingest_expires_at=None) | Q(ingest_expires_at__lt=Now())
    batches = Batch.objects.filter(free, pk=batch_id, status__in=statuses, deleted_at=None)
    token = batches.values_list("ingest_token", flat=True).first()
    if token is None:
        return None
    claimed = batches.filter(ingest_token=token).update(
        ingest_token=token + 1, ingest_expires_at=lease_end(settings.LEASE_SECONDS)
    )
    return BatchLease(batch_id, token + 1, statuses) if claimed else None


def leased(lease: BatchLease) -> BatchQuerySet:
    """The batch of a lease, or none if the lease is lost: the fence of every write."""
    return Batch.objects.filter(
        pk=lease.batch_id,
        ingest_token=lease.token,
        ingest_expires_at__isnull=False,
        status__in=lease.statuses,
    )


def hold_batch(lease: BatchLease) -> bool:
    """Renew a lease; False if it is lost."""
    return bool(leased(lease).update(ingest_expires_at=lease_end(settings.LEASE_SECONDS)))


def release_batch(lease: BatchLease) -> None:
    """Give a batch back, so that it can be claimed at once."""
    leased(lease).update(ingest_expires_at=None, ingest_token=F("ingest_token") - 1)
