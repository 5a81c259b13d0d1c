"""Lease a batch to the worker that reads its input, and at its end to the worker that closes it;
pause a batch.

Releasing a lease takes back its increment of the token. So the token counts the holders that
vanished, plus the current one; the token of a holder that was thought gone is always outdated.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from django.db.models import F, Q
from django.db.models.functions import Now

from batches.conf import conf
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch, BatchQuerySet, lease_end
from batches.models.bounds import short_text
from batches.models.statements import Statement, end_after, hole, length, query_of, update_of
from batches.signals import batch_paused, budget_spent, send_after_commit


@dataclass(frozen=True, slots=True)
class BatchLease:
    """The right to work on a batch while it is in one of these statuses."""

    batch_id: int
    token: int
    statuses: Collection[BatchStatus]


def insert_leased(batch: Batch, *, statuses: Collection[BatchStatus]) -> BatchLease:
    """Store a new batch that its creator leases from the beginning."""
    batch.ingest_token, batch.ingest_expires_at = 1, lease_end(conf().LEASE_SECONDS)
    batch.save(force_insert=True)
    return BatchLease(batch.pk, 1, statuses)


def claim_batch(
    batch_id: int, *, statuses: Collection[BatchStatus], among: Q | None = None
) -> BatchLease | None:
    """Lease a batch; return None if it is leased already, in another status, or not `among`."""
    find, take = _claim_statements(frozenset(statuses), among or Q())
    for (token,) in find.rows(batch=batch_id):
        if take.run(batch=batch_id, token=token, length=length(conf().LEASE_SECONDS)):
            return BatchLease(batch_id, token + 1, statuses)
    return None


@cache
def _claim_statements(statuses: frozenset[BatchStatus], among: Q) -> tuple[Statement, Statement]:
    """Return the query for the token of a batch that can be claimed, and the claim."""
    free = Q(ingest_expires_at=None) | Q(ingest_expires_at__lt=Now())
    free &= Q(pk=hole("batch"), status__in=statuses, deleted_at=None)
    batches = Batch.objects.filter(free, among)
    return (
        Statement(lambda: query_of(batches.values_list("ingest_token"))),
        Statement(
            lambda: update_of(
                batches.filter(ingest_token=hole("token")),
                ingest_token=F("ingest_token") + 1,
                ingest_expires_at=end_after("length"),
            )
        ),
    )


def leased(lease: BatchLease) -> BatchQuerySet:
    """Select the batch of a lease, or nothing if the lease is lost: the fence of every write."""
    return Batch.objects.filter(
        pk=lease.batch_id,
        deleted_at=None,
        ingest_token=lease.token,
        ingest_expires_at__isnull=False,
        status__in=lease.statuses,
    )


def hold_batch(lease: BatchLease) -> bool:
    """Renew a lease; return False if it is lost."""
    return bool(leased(lease).update(ingest_expires_at=lease_end(conf().LEASE_SECONDS)))


def release_batch(lease: BatchLease) -> None:
    """Release a batch, so that it can be claimed at once."""
    leased(lease).update(ingest_expires_at=None, ingest_token=F("ingest_token") - 1)


def pause_once(this: BatchQuerySet, batch_id: int, kind: str, reason: str) -> bool:
    """Pause a batch, if it is in `this` and not paused yet; return True if it is paused now."""
    shown = short_text(Batch, "pause_reason", reason)
    paused = this.filter(pk=batch_id, pause_reason="").update(pause_kind=kind, pause_reason=shown)
    if paused:
        send_after_commit(batch_paused, Batch, batch_id=batch_id, kind=str(kind), reason=shown)
        if kind == PauseKind.BUDGET:
            send_after_commit(budget_spent, Batch, batch_id=batch_id, reason=shown)
    return bool(paused)
