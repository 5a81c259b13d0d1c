"""Celery tasks. A message only says that there may be work: what is true is in the database.

Losing, doubling, delaying or reordering these messages is harmless.
"""

import logging
import threading
import time
from collections.abc import Collection
from typing import Any

from celery import Task, shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.dispatch import receiver

from batches.ending.finishing import finish_batch
from batches.intake.reading import read_input, to_read
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch, Slot
from batches.providers import breaker
from batches.providers.configured import ProviderMisconfigured
from batches.runner.run import SliceLimits, SliceReport, run_slice
from batches.stop_signal import StopSignal
from batches.webhooks import deliveries
from batches.workers import sweeper
from batches.workers.heartbeats import Heartbeat

logger = logging.getLogger(__name__)

# How long whoever rings waits for the broker; after that the sweeper rings.
RING_PATIENCE_S = 2.0

# Set when this worker is told to stop; every slice in this process listens to it.
SHUTDOWN = StopSignal()


@worker_shutting_down.connect
def stop_slices(**_: object) -> None:
    SHUTDOWN.request()


@worker_ready.connect
def begin_heartbeat(sender: Any, **_: object) -> None:
    """Show that this worker is there, until it ends by itself."""
    heartbeat = Heartbeat(sender.hostname)
    heartbeat.start()
    worker_shutdown.connect(lambda **_: heartbeat.stop(), weak=False)


@shared_task(ignore_result=True)
def run_batch(batch_id: int) -> None:
    """Work for one slice on the batch whose turn it is, often the one that was rung for.

    First that one is read if it has an input to be read, or ended if it was cancelled.
    """
    if not SHUTDOWN.requested:
        _attend(batch_id)
        _probe(batch_id)
    if _work(next_turn()):
        _sweep_now_and_then()
    else:
        logger.debug("Rung for batch %d, found nothing to do", batch_id)


def _work(turn: int | None) -> bool:
    """Work for one slice, beginning with this batch; whether there was a place at one.

    Others who were rung find the same turn. Whoever is too late for it goes on to the next.
    """
    tried: set[int] = set()
    while turn is not None and not SHUTDOWN.requested:
        report = _run(turn)
        if report.made_room or (report.stopped and _is_waiting(turn)):
            ring(turn)
        if report.worked:
            return True
        tried.add(turn)
        turn = next_turn(besides=tried)
    return False


def _is_waiting(batch_id: int) -> bool:
    """Whether there is work again: who resumed the batch rang before its last runner had left."""
    return Batch.objects.waiting().filter(pk=batch_id).exists()


def _run(batch_id: int, *, probing: bool = False) -> SliceReport:
    """Never fails: others wait, and a batch that breaks down is not to be the only one tried."""
    limits = SliceLimits(slice_s=settings.SLICE_SECONDS, grace_s=settings.GRACE_SECONDS)
    try:
        return run_slice(batch_id, stop=SHUTDOWN, limits=limits, probing=probing)
    except ProviderMisconfigured as error:
        provider_id = Batch.objects.values_list("provider_id", flat=True).get(pk=batch_id)
        breaker.trip(provider_id, PauseKind.CONFIG, f"config: {error}")
        logger.warning("Batch %d is paused: %s", batch_id, error)
    except Exception:
        logger.exception("Batch %d could not be worked on", batch_id)
    return SliceReport()


def _probe(batch_id: int) -> None:
    """See with one prompt of a batch whether its provider, which is paused, answers again."""
    if breaker.claim_probe(batch_id) and _run(batch_id, probing=True).reopened:
        logger.info("The provider of batch %d answers again", batch_id)
        sweeper.sweep(ring)


def _attend(batch_id: int) -> None:
    """What a batch needs beside runners."""
    batch = Batch.objects.filter(pk=batch_id).first()
    if batch is None:
        return
    if batch.status == BatchStatus.CANCELLING:
        finish_batch(batch_id)
    elif to_read().filter(pk=batch_id).exists() and read_input(batch_id, stop=SHUTDOWN):
        batch.refresh_from_db()
        # This worker goes on with it; the others have to be told.
        for _ in range(runners_of(batch) - 1):
            ring(batch_id)


def runners_of(batch: Batch) -> int:
    """How many runners find work on a batch."""
    return min(batch.parallelism, -(-batch.total // batch.batch_size))


@shared_task(ignore_result=True)
def sweep() -> None:
    """Ring for what waits, end what is over."""
    sweeper.sweep(ring)


@shared_task(ignore_result=True)
def deliver_webhook(delivery_id: int) -> None:
    """Tell a receiver of an event, if it is due."""
    if not SHUTDOWN.requested:
        deliveries.deliver(delivery_id)


def next_turn(*, besides: Collection[int] = ()) -> int | None:
    """The waiting batch whose turn it is: by priority, then the owner and the batch with the
    fewest runners, then the one that has waited longest."""
    mine = Slot.objects.taken().filter(batch__owner=OuterRef("owner"))
    runners = Count("slots", filter=Q(slots__in=Slot.objects.taken()))
    of_owner = mine.order_by().values("batch__owner").annotate(n=Count("pk")).values("n")
    return (
        Batch.objects.waiting()
        .annotate(runners=runners, runners_of_owner=Coalesce(Subquery(of_owner), 0))
        .exclude(pk__in=besides)
        .order_by("-priority", "runners_of_owner", "runners", "active_until", "pk")
        .values_list("pk", flat=True)
        .first()
    )


class _Bell:
    """Publishes in a thread of its own, so that a broker that hangs holds nobody up for long."""

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    def ring(self, task: Task[[int], None], pk: int) -> None:
        if self._stuck is not None and self._stuck.is_alive():
            return
        thread = threading.Thread(target=self._publish, args=(task, pk), daemon=True)
        thread.start()
        thread.join(RING_PATIENCE_S)
        self._stuck = thread if thread.is_alive() else None

    @staticmethod
    def _publish(task: Task[[int], None], pk: int) -> None:
        try:
            task.apply_async((pk,), retry=False)
        except Exception as error:
            logger.warning("Could not ring %s %d; the sweeper will: %s", task.name, pk, error)


_bell = _Bell()


def ring(batch_id: int) -> None:
    """Tell the workers that a batch may have work. Never fails; takes two seconds at most."""
    _bell.ring(run_batch, batch_id)


@receiver(deliveries.delivery_due)
def ring_for_delivery(delivery_id: int, **_: object) -> None:
    """Tell the workers that an event waits to be delivered."""
    _bell.ring(deliver_webhook, delivery_id)


class _LastSweep:
    at = 0.0


def _sweep_now_and_then() -> None:
    """Sweep after a slice, in case that no sweeper runs."""
    if time.monotonic() - _LastSweep.at > settings.SWEEP_SECONDS:
        _LastSweep.at = time.monotonic()
        sweeper.sweep(ring)
