"""The turns of a worker: which batch it works on next, and what it does for one message."""

import logging
import time
from collections.abc import Collection

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from batches.conf import conf
from batches.ending.finishing import finish_batch
from batches.intake.reading import READING, read_input, to_read
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch, Slot
from batches.models.statements import Statement, query_of
from batches.providers import breaker
from batches.providers.configured import ProviderMisconfigured
from batches.runner.run import SliceLimits, SliceReport, run_slice
from batches.stop_signal import StopSignal
from batches.workers.messages import enqueue
from batches.workers.sweeper import sweep

logger = logging.getLogger(__name__)


def take_turn(batch_id: int, stop: StopSignal) -> bool:
    """Run the next batch for one slice, which is often the batch of the message.

    First, read the input of the message's batch if it waits for that, or end it if it was
    cancelled. Return True if a batch was run.
    """
    if not stop.requested:
        _attend(batch_id, stop)
        _probe(batch_id, stop)
    if not _work(next_turn(), stop):
        logger.debug("Message for batch %d: nothing to do", batch_id)
        return False
    _spare_sweeper.sweep_if_due()
    return True


def next_turn(*, besides: Collection[int] = ()) -> int | None:
    """Return the next waiting batch: by priority, then by the fewest runners of the owner and of
    the batch, then by the longest wait."""
    if not besides:
        return next((pk for (pk,) in _NEXT_TURN.rows()), None)
    return _turns().exclude(pk__in=besides).first()


def _turns() -> "QuerySet[Batch, int]":
    """Return the waiting batches in the order of their turns."""
    mine = Slot.objects.taken().filter(batch__owner=OuterRef("owner"))
    runners = Count("slots", filter=Q(slots__in=Slot.objects.taken()))
    of_owner = mine.order_by().values("batch__owner").annotate(n=Count("pk")).values("n")
    return (
        Batch.objects.waiting()
        .annotate(runners=runners, runners_of_owner=Coalesce(Subquery(of_owner), 0))
        .order_by("-priority", "runners_of_owner", "runners", "active_until", "pk")
        .values_list("pk", flat=True)
    )


_NEXT_TURN = Statement(lambda: query_of(_turns()[:1]))


def _work(turn: int | None, stop: StopSignal) -> bool:
    """Run one slice, trying this batch first; return True if a batch had a free slot.

    Other workers with a message choose the same batch. A worker that is too late tries the next.
    """
    tried: set[int] = set()
    while turn is not None and not stop.requested:
        report = _run(turn, stop)
        if report.made_room or (report.stopped and _is_waiting(turn)):
            enqueue(turn)
        if report.opened_gate or report.has_more:
            _enqueue_all(turn)
        if report.worked:
            return True
        tried.add(turn)
        turn = next_turn(besides=tried)
    return False


def _enqueue_all(batch_id: int) -> None:
    """Enqueue a batch once for each runner that it may have."""
    for batch in Batch.objects.filter(pk=batch_id, in_background=True):
        for _ in range(batch.most_runners):
            enqueue(batch_id)


def _is_waiting(batch_id: int) -> bool:
    """Return True if the batch has work again: it was resumed before its last runner had left."""
    return Batch.objects.waiting().filter(pk=batch_id).exists()


def _run(batch_id: int, stop: StopSignal, *, probing: bool = False) -> SliceReport:
    """Run a slice. Never raise an error, so that a failing batch does not block other batches."""
    limits = SliceLimits(slice_s=conf().SLICE_SECONDS, grace_s=conf().GRACE_SECONDS)
    try:
        return run_slice(batch_id, stop=stop, limits=limits, probing=probing)
    except ProviderMisconfigured as error:
        provider_id = Batch.objects.values_list("provider_id", flat=True).get(pk=batch_id)
        breaker.trip(provider_id, PauseKind.CONFIG, f"config: {error}")
        logger.warning("Batch %d is paused: %s", batch_id, error)
    except Exception:
        logger.exception("Batch %d could not be run", batch_id)
    return SliceReport()


def _probe(batch_id: int, stop: StopSignal) -> None:
    """Probe the paused provider of a batch with one of its prompts, if a probe is due."""
    if breaker.claim_probe(batch_id) and _run(batch_id, stop, probing=True).reopened:
        logger.info("The provider of batch %d answers again", batch_id)
        sweep(enqueue)


def _attend(batch_id: int, stop: StopSignal) -> None:
    """Read the input of a batch, or end a cancelled one."""
    this = Batch.objects.filter(pk=batch_id)
    status = this.values_list("status", flat=True).first()
    if status == BatchStatus.CANCELLING:
        finish_batch(batch_id)
    elif (
        status in READING
        and to_read().filter(pk=batch_id).exists()
        and read_input(batch_id, stop=stop)
    ):
        # This worker runs it next; enqueue it for the other runners.
        for _ in range(this.get().most_runners - 1):
            enqueue(batch_id)


class _SpareSweeper:
    """Sweeps after a slice, in case no sweeper is running."""

    def __init__(self) -> None:
        self._swept_at = 0.0

    def sweep_if_due(self) -> None:
        if time.monotonic() - self._swept_at > conf().SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            sweep(enqueue)


_spare_sweeper = _SpareSweeper()
