"""Purge a deleted batch in pieces, so that no transaction is long."""

from django.db.models import Max
from django.db.models.functions import Now

from batches.database import transaction
from batches.models import Batch, BatchQuerySet, Chunk, Prompt, Result

ROWS_AT_ONCE = 5_000


def mark_deleted(batches: BatchQuerySet) -> int:
    """Mark batches as deleted, which ends their leases and frees their idempotency keys."""
    return batches.update(deleted_at=Now(), idempotency_key=None)


def purge(batch_id: int) -> None:
    """Remove a batch that is marked as deleted, with all its rows.

    It may be interrupted and restarted, and several processes may do it at once.
    """
    batch = Batch.objects.filter(pk=batch_id, deleted_at__isnull=False).first()
    if batch is None:
        return
    # Do not use the total of the batch: a refused input has prompts but no total.
    top = Prompt.objects.filter(batch=batch).aggregate(top=Max("index"))["top"]
    end = batch.total if top is None else top + 1
    for lo in range(0, end, ROWS_AT_ONCE):
        _purge_window(batch_id, lo, lo + ROWS_AT_ONCE)
    with transaction.atomic():
        batch.slots.all().delete()
        Batch.objects.filter(pk=batch_id).delete()


def _purge_window(batch_id: int, lo: int, hi: int) -> None:
    prompts = Prompt.objects.filter(batch_id=batch_id, index__gte=lo, index__lt=hi)
    chunks = Chunk.objects.filter(batch_id=batch_id, lo__gte=lo, lo__lt=hi)
    # Select by primary key: the index of results starts with the status, and would be read fully.
    results = Result.objects.filter(pk__in=prompts.values("pk"))
    with transaction.atomic():
        for rows in (results, prompts, chunks):
            rows._raw_delete(rows.db)
