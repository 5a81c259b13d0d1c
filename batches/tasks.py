"""Celery tasks, and what a Celery worker does when it starts and stops.

batches/workers/messages.py sends the messages that they answer.
"""

from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutdown, worker_shutting_down

from batches.runner.turns import take_turn
from batches.stop_signal import StopSignal
from batches.webhooks import deliveries
from batches.workers import sweeper
from batches.workers.heartbeats import Heartbeat
from batches.workers.messages import enqueue

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
    """Run the batch whose turn it is."""
    take_turn(batch_id, SHUTDOWN)


@shared_task(ignore_result=True)
def sweep() -> None:
    """Run the sweeper once."""
    sweeper.sweep(enqueue)


@shared_task(ignore_result=True)
def deliver_webhook(delivery_id: int) -> None:
    """Send an event to its receiver, if the delivery is due."""
    if not SHUTDOWN.requested:
        deliveries.deliver(delivery_id)
