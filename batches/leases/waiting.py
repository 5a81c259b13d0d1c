"""The waiting reason of a batch, as stored by its runners on their slots."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from batches.lifecycle import BatchStatus
from batches.models import Batch, Slot

NO_WORKER = "waiting for a worker"
NO_COMMAND = "not running: process_batch began it, and has stopped"


@dataclass(frozen=True, slots=True)
class WaitingNow:
    """Why a batch makes no progress, since when, and when the next call is due (Unix times)."""

    reason: str
    since: float | None = None
    next: float | None = None


def in_words(waiting: WaitingNow, *, now: float | None = None) -> str:
    """Describe the reason, its start (UTC), and the seconds until the next call."""
    now = time.time() if now is None else now
    words = waiting.reason.rstrip(".")
    if waiting.since is not None:
        words += f", since {datetime.fromtimestamp(waiting.since, UTC):%H:%M:%S} UTC"
    if waiting.next is not None:
        words += f", next try in {max(waiting.next - now, 0):.0f} s"
    return words


def with_waiting(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Annotate each batch with the values that `waiting_of` needs."""
    taken = Slot.objects.taken().filter(batch=OuterRef("pk"))
    said = taken.filter(waiting__isnull=False).order_by("pk").values("waiting")[:1]
    return batches.annotate(runs_now=Exists(taken), said_to_wait=Subquery(said))


def runs_now(batch: Batch) -> bool:
    """Return True if a batch from `with_waiting` has a runner now."""
    return bool(vars(batch)["runs_now"])


def waiting_of(batch: Batch) -> WaitingNow | None:
    """Return what a batch from `with_waiting` waits for; None if it runs or is paused."""
    if batch.status != BatchStatus.IN_PROGRESS or batch.standstill:
        return None
    row: dict[str, Any] = vars(batch)
    said = row.get("said_to_wait")
    if said:
        return WaitingNow(said["reason"], said["since"], said["next"])
    if row.get("runs_now", True):
        return None
    return WaitingNow(NO_WORKER if batch.in_background else NO_COMMAND)
