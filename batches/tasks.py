"""Celery tasks. A message only says that there may be work: what is true is in the database.

Losing, doubling, delaying or reordering these messages is harmless.
"""

import logging
import threading
import time

from celery import shared_task
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from batches import sweeper
from batches.models import Batch, Slot
from batches.providers import ProviderMisconfigured
from batches.runner import SliceLimits, run_slice
from batches.stop_signal import StopSignal

logger = logging.getLogger(__name__)

# How long whoever rings waits for the broker; after that the sweeper rings.
RING_PATIENCE_S = 2.0

# Set when this worker is told to stop; every slice in this process listens to it.
SHUTDOWN = StopSignal()


@worker_shutting_down.connect
def stop_slices(**_: object) -> None:
    SHUTDOWN.request()


@shared_task(ignore_result=True)
def run_batch(batch_id: int) -> None:
    """Work for one slice on the batch whose turn it is, often the one that was rung for."""
    turn = next_turn()
    if turn is None or SHUTDOWN.requested:
        logger.debug("Rung for batch %d, found nothing to do", batch_id)
        return
    try:
        report = run_slice(
            turn,
            stop=SHUTDOWN,
            limits=SliceLimits(slice_s=settings.SLICE_SECONDS, grace_s=settings.GRACE_SECONDS),
        )
    except ProviderMisconfigured as error:
        Batch.objects.filter(pk=turn).update(pause_reason=f"config: {error}"[:1000])
        logger.warning("Batch %d is paused: %s", turn, error)
        return
    if report.made_room:
        ring(turn)
    _sweep_now_and_then()


@shared_task(ignore_result=True)
def sweep() -> None:
    """Ring for what waits, end what is over."""
    sweeper.sweep(ring)


def next_turn() -> int | None:
    """The waiting batch whose turn it is: by priority, then the owner and the batch with the
    fewest runners, then the oldest."""
    mine = Slot.objects.taken().filter(batch__owner=OuterRef("owner"))
    runners = Count("slots", filter=Q(slots__in=Slot.objects.taken()))
    of_owner = mine.order_by().values("batch__owner").annotate(n=Count("pk")).values("n")
    return (
        Batch.objects.waiting()
        .annotate(runners=runners, runners_of_owner=Coalesce(Subquery(of_owner), 0))
        .order_by("-priority", "runners_of_owner", "runners", "pk")
        .values_list("pk", flat=True)
        .first()
    )


class _Bell:
    """Publishes in a thread of its own, so that a broker that hangs holds nobody up for long."""

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    def ring(self, batch_id: int) -> None:
        if self._stuck is not None and self._stuck.is_alive():
            return
        thread = threading.Thread(target=self._publish, args=(batch_id,), daemon=True)
        thread.start()
        thread.join(RING_PATIENCE_S)
        self._stuck = thread if thread.is_alive() else None

    @staticmethod
    def _publish(batch_id: int) -> None:
        try:
            run_batch.apply_async((batch_id,), retry=False)
        except Exception as error:
            logger.warning("Could not ring for batch %d; the sweeper will: %s", batch_id, error)


_bell = _Bell()


def ring(batch_id: int) -> None:
    """Tell the workers that a batch may have work. Never fails; takes two seconds at most."""
    _bell.ring(batch_id)


class _LastSweep:
    at = 0.0


def _sweep_now_and_then() -> None:
    """Sweep after a slice, in case that no sweeper runs."""
    if time.monotonic() - _LastSweep.at > settings.SWEEP_SECONDS:
        _LastSweep.at = time.monotonic()
        sweeper.sweep(ring)
