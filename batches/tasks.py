"""Celery tasks, and what a Celery worker does when it starts and stops.

batches/workers/doorbells.py sends the messages that they answer. Workers of the project that take
no message of these tasks are left alone.
"""

import os
import signal
import threading
from contextlib import suppress
from typing import Any

from batches.extras import require

# Before anything imports the packages of this extra.
require("celery", "A worker of Celery")

from celery import shared_task
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from django.core.exceptions import ImproperlyConfigured

from batches.conf import MOST_SECONDS, conf
from batches.models.database_sessions import limited_sessions
from batches.runner.turns import take_turn
from batches.stop_signal import StopSignal
from batches.webhooks import deliveries
from batches.workers import sweeper
from batches.workers.heartbeats import Heartbeat
from batches.workers.messages import enqueue

# Set when this worker must stop; every slice in this process listens to it.
SHUTDOWN = StopSignal()

GREEN_POOLS = ("eventlet", "gevent")
# Celery tells the children of a prefork pool nothing of a stop. This signal does not disturb the
# other tasks of the project, as SIGTERM would.
TO_CHILDREN = signal.SIGUSR2


@worker_init.connect
def refuse_wrong_settings(**_: object) -> None:
    """End a worker with wrong settings, and say which; no batch could run."""
    try:
        conf()
    except ImproperlyConfigured as error:
        # Celery logs any other exception of a receiver, and goes on.
        raise SystemExit(str(error)) from error


@worker_init.connect
def refuse_green_pools(sender: Any, **_: object) -> None:
    """End a worker whose pool cannot run batches, and say which pools can."""
    pool = str(getattr(sender.pool_cls, "__module__", sender.pool_cls))
    name = next((green for green in GREEN_POOLS if green in pool), None)
    if name and takes_batches(sender.app):
        raise SystemExit(
            f"The pool {name} cannot run batches: a batch has an event loop of its own, and all "
            f"greenlets of {name} share one thread. Start this worker with --pool threads or "
            "--pool prefork, or give it a queue that has no messages of batches.tasks (-Q, "
            "task_routes)"
        )


def takes_batches(app: Any) -> bool:
    """Return True if the queues of this worker include the one of `run_batch`."""
    routed = app.amqp.router.route({}, run_batch.name)["queue"]
    return getattr(routed, "name", routed) in app.amqp.queues.consume_from


@worker_process_init.connect
def hear_the_parent(**_: object) -> None:
    """Let a prefork child hear that its worker stops."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(TO_CHILDREN, lambda *_: SHUTDOWN.request())


class _Worker:
    """The worker of this process."""

    def __init__(self) -> None:
        self.pool: Any = None

    def child_ids(self) -> list[int]:
        """Return the process IDs of a prefork pool; none for another pool."""
        pool = getattr(self.pool, "_pool", None)
        return [process.pid for process in getattr(pool, "_pool", ()) if hasattr(process, "pid")]


_worker = _Worker()


@worker_shutting_down.connect
def stop_slices(**_: object) -> None:
    """Stop every slice of this worker. It runs in a signal handler."""
    SHUTDOWN.request()
    for pid in _worker.child_ids():
        with suppress(ProcessLookupError):
            os.kill(pid, TO_CHILDREN)


@worker_ready.connect
def begin_heartbeat(sender: Any, **_: object) -> None:
    """Start the heartbeat of this worker, which stops when the worker ends normally."""
    _worker.pool = sender.controller.pool
    if not takes_batches(sender.app):
        return
    heartbeat = Heartbeat(sender.hostname)
    heartbeat.start()
    worker_shutdown.connect(lambda **_: heartbeat.stop(), weak=False)


# A turn may last as long as its batch. A time limit of the project, which is for its other tasks,
# would end the calls in flight again and again.
@shared_task(ignore_result=True, time_limit=MOST_SECONDS, soft_time_limit=MOST_SECONDS)
def run_batch(batch_id: int) -> None:
    """Run the batch whose turn it is."""
    with limited_sessions():
        take_turn(batch_id, SHUTDOWN)


@shared_task(ignore_result=True)
def sweep() -> None:
    """Run the sweeper once."""
    with limited_sessions():
        sweeper.sweep(enqueue)


@shared_task(ignore_result=True)
def deliver_webhook(delivery_id: int) -> None:
    """Send an event to its receiver, if the delivery is due."""
    if not SHUTDOWN.requested:
        with limited_sessions():
            deliveries.deliver(delivery_id)
