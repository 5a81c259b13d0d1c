"""Celery tasks. A message only says that there may be work; the state is in the database.

Messages may be lost, duplicated, delayed or reordered without harm.
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

# The longest wait for the broker when sending a message; later the sweeper sends it.
ENQUEUE_PATIENCE_S = 2.0
# The name of the threads that send messages.
ENQUEUING = "enqueue"

# Set when this worker must stop; every slice in this process listens to it.
SHUTDOWN = StopSignal()


@worker_shutting_down.connect
def stop_slices(**_: object) -> None:
    SHUTDOWN.request()


@worker_ready.connect
def begin_heartbeat(sender: Any, **_: object) -> None:
    """Start the heartbeat of this worker, which stops when the worker ends normally."""
    heartbeat = Heartbeat(sender.hostname)
    heartbeat.start()
    worker_shutdown.connect(lambda **_: heartbeat.stop(), weak=False)


@shared_task(ignore_result=True)
def run_batch(batch_id: int) -> None:
    """Run the next batch for one slice, which is often the batch of the message.

    First, read the input of the message's batch if it waits for that, or end it if it was
    cancelled.
    """
    if not SHUTDOWN.requested:
        _attend(batch_id)
        _probe(batch_id)
    if _work(next_turn()):
        _sweep_now_and_then()
    else:
        logger.debug("Message for batch %d: nothing to do", batch_id)


def _work(turn: int | None) -> bool:
    """Run one slice, trying this batch first; return True if a batch had a free slot.

    Other workers with a message choose the same batch. A worker that is too late tries the next.
    """
    tried: set[int] = set()
    while turn is not None and not SHUTDOWN.requested:
        report = _run(turn)
        if report.made_room or (report.stopped and _is_waiting(turn)):
            enqueue(turn)
        if report.worked:
            return True
        tried.add(turn)
        turn = next_turn(besides=tried)
    return False


def _is_waiting(batch_id: int) -> bool:
    """Return True if the batch has work again: it was resumed before its last runner had left."""
    return Batch.objects.waiting().filter(pk=batch_id).exists()


def _run(batch_id: int, *, probing: bool = False) -> SliceReport:
    """Run a slice. Never raise an error, so that a failing batch does not block other batches."""
    limits = SliceLimits(slice_s=settings.SLICE_SECONDS, grace_s=settings.GRACE_SECONDS)
    try:
        return run_slice(batch_id, stop=SHUTDOWN, limits=limits, probing=probing)
    except ProviderMisconfigured as error:
        provider_id = Batch.objects.values_list("provider_id", flat=True).get(pk=batch_id)
        breaker.trip(provider_id, PauseKind.CONFIG, f"config: {error}")
        logger.warning("Batch %d is paused: %s", batch_id, error)
    except Exception:
        logger.exception("Batch %d could not be run", batch_id)
    return SliceReport()


def _probe(batch_id: int) -> None:
    """Probe the paused provider of a batch with one of its prompts, if a probe is due."""
    if breaker.claim_probe(batch_id) and _run(batch_id, probing=True).reopened:
        logger.info("The provider of batch %d answers again", batch_id)
        sweeper.sweep(enqueue)


def _attend(batch_id: int) -> None:
    """Read the input of a batch, or end a cancelled one."""
    batch = Batch.objects.filter(pk=batch_id).first()
    if batch is None:
        return
    if batch.status == BatchStatus.CANCELLING:
        finish_batch(batch_id)
    elif to_read().filter(pk=batch_id).exists() and read_input(batch_id, stop=SHUTDOWN):
        batch.refresh_from_db()
        # This worker runs it next; enqueue it for the other runners.
        for _ in range(runners_of(batch) - 1):
            enqueue(batch_id)


def runners_of(batch: Batch) -> int:
    """Return the number of runners that find work on a batch."""
    return min(batch.parallelism, -(-batch.total // batch.batch_size))


@shared_task(ignore_result=True)
def sweep() -> None:
    """Run the sweeper once."""
    sweeper.sweep(enqueue)


@shared_task(ignore_result=True)
def deliver_webhook(delivery_id: int) -> None:
    """Send an event to its receiver, if the delivery is due."""
    if not SHUTDOWN.requested:
        deliveries.deliver(delivery_id)


def next_turn(*, besides: Collection[int] = ()) -> int | None:
    """Return the next waiting batch: by priority, then by the fewest runners of the owner and of
    the batch, then by the longest wait."""
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


class _Publisher:
    """Send messages in a separate thread, so that a broker that hangs does not block the caller."""

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    def send(self, task: Task[[int], None], pk: int) -> None:
        if self._stuck is not None and self._stuck.is_alive():
            return
        thread = threading.Thread(
            target=self._publish, args=(task, pk), name=ENQUEUING, daemon=True
        )
        thread.start()
        thread.join(ENQUEUE_PATIENCE_S)
        self._stuck = thread if thread.is_alive() else None

    @staticmethod
    def _publish(task: Task[[int], None], pk: int) -> None:
        try:
            task.apply_async((pk,), retry=False)
        except Exception as error:
            logger.warning("Could not enqueue %s %d; the sweeper will: %s", task.name, pk, error)


_publisher = _Publisher()


def enqueue(batch_id: int) -> None:
    """Enqueue a batch that may have work. Never raise an error; take at most two seconds."""
    _publisher.send(run_batch, batch_id)


@receiver(deliveries.delivery_due)
def enqueue_delivery(delivery_id: int, **_: object) -> None:
    """Enqueue a due delivery for the workers."""
    _publisher.send(deliver_webhook, delivery_id)


class _LastSweep:
    at = 0.0


def _sweep_now_and_then() -> None:
    """Sweep after a slice, in case no sweeper is running."""
    if time.monotonic() - _LastSweep.at > settings.SWEEP_SECONDS:
        _LastSweep.at = time.monotonic()
        sweeper.sweep(enqueue)
