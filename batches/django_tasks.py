"""Tasks for `django.tasks`, or for the package `django-tasks` before Django 6.

Their backend is the one named `batches` in the setting TASKS, else `default`. A process that only
enqueues loads no runner.
"""

import atexit
import os
from functools import cache

from django.conf import settings

from batches.models.database_sessions import limited_sessions
from batches.stop_signal import StopSignal, requested_by_signals

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task  # type: ignore[no-redef]  # the same, before Django 6

BACKEND = "batches" if "batches" in getattr(settings, "TASKS", {}) else "default"


@task(backend=BACKEND)
def run_batch(batch_id: int) -> None:
    """Run the batch whose turn it is."""
    from batches.runner.turns import take_turn  # noqa: PLC0415 - only a worker needs it

    _begin_heartbeat(os.getpid())
    stop = StopSignal()
    with requested_by_signals(stop), limited_sessions():
        take_turn(batch_id, stop)


@task(backend=BACKEND)
def sweep() -> None:
    """Run the sweeper once."""
    from batches.workers import sweeper  # noqa: PLC0415 - only a worker needs it
    from batches.workers.messages import enqueue  # noqa: PLC0415 - the same

    with limited_sessions():
        sweeper.sweep(enqueue)


@task(backend=BACKEND)
def deliver_webhook(delivery_id: int) -> None:
    """Send an event to its receiver, if the delivery is due."""
    from batches.webhooks import deliveries  # noqa: PLC0415 - only a worker needs it

    with limited_sessions():
        deliveries.deliver(delivery_id)


@cache
def _begin_heartbeat(pid: int) -> None:
    """Show this process as a worker, from its first batch to its end."""
    from batches.workers.heartbeats import Heartbeat, worker_name  # noqa: PLC0415 - only a worker needs it

    heartbeat = Heartbeat(worker_name(f"tasks-{pid}"))
    heartbeat.start()
    atexit.register(heartbeat.stop)
