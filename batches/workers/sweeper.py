"""The sweeper: periodically enqueue waiting batches, end finished ones, purge deleted ones.

Any number of sweepers at once is safe; without one, batches that are enqueued already still run.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Least, Now

from batches.ending.finishing import finish_batch
from batches.ending.gate import attend_gate, unattended
from batches.ending.purging import purge
from batches.files.files import delete_expired_files, remove_leftovers
from batches.files.uploads import expire_uploads
from batches.intake.reading import clear_leftovers, left_over, remove_abandoned, to_read
from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk, Slot
from batches.providers.breaker import batches_to_probe
from batches.reuse.kept_answers import forget_answers
from batches.webhooks.deliveries import MAX_MESSAGES, sweep_deliveries
from batches.workers.heartbeats import forget_workers
from batches.workers.hours import record_hours

logger = logging.getLogger(__name__)

T = TypeVar("T")

SECONDS_BETWEEN_FORGETTING = 3600.0


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The work of a sweep: messages sent, and batches ended and purged."""

    enqueued: int
    ended: int
    purged: int


def sweep(enqueue: Callable[[int], object]) -> SweepReport:
    """Do all due work; call `enqueue` with the id of each batch that has work and no runner.

    A step that fails is logged, and the other steps are still done.
    """
    ended = sum(bool(_surely(finish_batch, pk)) for pk in _to_finish())
    # A runner may have vanished between the end of a pilot and its judgement.
    for pk in list(unattended().values_list("pk", flat=True)):
        _surely(attend_gate, pk)
    enqueued = _to_enqueue()
    for pk in enqueued:
        enqueue(pk)
    removed = _surely(remove_abandoned) or 0
    deleted = list(Batch.objects.filter(deleted_at__isnull=False).values_list("pk", flat=True))
    for pk in deleted:
        _surely(purge, pk)
    for pk in list(left_over().values_list("pk", flat=True)):
        _surely(clear_leftovers, pk)
    files = (delete_expired_files, expire_uploads, remove_leftovers)
    for step in (sweep_deliveries, *files, forget_workers, record_hours, _forget.if_due):
        _surely(step)
    report = SweepReport(enqueued=len(enqueued), ended=ended, purged=removed + len(deleted))
    logger.debug("Swept: %s", report)
    return report


class _Forgetting:
    """Forgets kept answers from time to time, since it reads all of them."""

    def __init__(self) -> None:
        self._done_at = float("-inf")

    def if_due(self) -> None:
        if time.monotonic() - self._done_at > SECONDS_BETWEEN_FORGETTING:
            self._done_at = time.monotonic()
            forget_answers()


_forget = _Forgetting()


def _surely(step: Callable[..., T], *batch: int) -> T | None:
    try:
        return step(*batch)
    except Exception:
        logger.exception("Sweeping failed in %s%r", step.__name__, batch)
        return None


def _to_enqueue() -> list[int]:
    """Return batches that wait for a reader, to probe their provider, or for runners; the last
    kind once for each runner that would find work."""
    unread = list(to_read().order_by("pk").values_list("pk", flat=True)[:MAX_MESSAGES])
    free = _count_of(Slot.objects.claimable())
    chunks = _count_of(Chunk.objects.claimable())
    waiting = Batch.objects.waiting().annotate(runners=Least(free, chunks)).order_by("pk")
    found = waiting.values_list("pk", "runners")[:MAX_MESSAGES]
    runnable = [pk for pk, runners in found for _ in range(runners)]
    return [*unread, *batches_to_probe(), *runnable][:MAX_MESSAGES]


def _count_of(rows: QuerySet[Any]) -> Subquery:
    of_batch = rows.filter(batch=OuterRef("pk")).order_by().values("batch")
    return Subquery(of_batch.annotate(n=Count("pk")).values("n"))


def _to_finish() -> list[int]:
    """Return batches that may have nothing left to do but to end."""
    unfinished = Chunk.objects.unfinished().filter(batch=OuterRef("pk"))
    running = {BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING}
    due = Batch.objects.filter(
        Q(status=BatchStatus.CANCELLING)
        | Q(status=BatchStatus.IN_PROGRESS, expires_at__lte=Now())
        | (Q(status__in=running) & ~Exists(unfinished))
    )
    return list(due.values_list("pk", flat=True))
