"""Every so often: ring for what waits, end what is over, purge what was deleted.

Any number of sweepers at once is safe; with none, whatever rang already still runs.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from batches.finishing import finish_batch
from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk
from batches.purging import purge

logger = logging.getLogger(__name__)

# An input that is still being read after so long has lost its reader.
INGEST_DEADLINE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep found to do: batches rung for, ended, failed, purged."""

    rung: int
    ended: int
    failed: int
    purged: int


def sweep(ring: Callable[[int], object]) -> SweepReport:
    """Do what is due; `ring` is called with the id of each batch that has work and no runner."""
    failed = fail_abandoned_inputs()
    ended = sum(finish_batch(pk) for pk in _to_finish())
    waiting = list(Batch.objects.waiting().values_list("pk", flat=True))
    for pk in waiting:
        ring(pk)
    deleted = list(Batch.objects.filter(deleted_at__isnull=False).values_list("pk", flat=True))
    for pk in deleted:
        purge(pk)
    report = SweepReport(rung=len(waiting), ended=ended, failed=failed, purged=len(deleted))
    logger.debug("Swept: %s", report)
    return report


def fail_abandoned_inputs() -> int:
    """Fail batches whose input nobody reads any more; how many there were."""
    abandoned = Batch.objects.filter(
        status=BatchStatus.VALIDATING, created_at__lt=Now() - INGEST_DEADLINE
    )
    error = {"code": "invalid_request", "message": "reading the input was interrupted"}
    return sum(
        Batch.objects.filter(pk=pk).move(
            BatchStatus.FAILED, sources={BatchStatus.VALIDATING}, errors=[error]
        )
        for pk in list(abandoned.values_list("pk", flat=True))
    )


def _to_finish() -> list[int]:
    """Batches that may have nothing left to do but to end."""
    unfinished = Chunk.objects.unfinished().filter(batch=OuterRef("pk"))
    running = {BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING}
    due = Batch.objects.filter(
        Q(status=BatchStatus.CANCELLING)
        | Q(status=BatchStatus.IN_PROGRESS, expires_at__lte=Now())
        | (Q(status__in=running) & ~Exists(unfinished))
    )
    return list(due.values_list("pk", flat=True))
