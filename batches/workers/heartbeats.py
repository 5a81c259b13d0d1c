"""Heartbeats of workers, which distinguish an idle worker from a dead one."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta

from django.db.models import QuerySet
from django.db.models.functions import Now

from batches.database import connection
from batches.models import Worker

logger = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
# A worker that misses this many heartbeats counts as dead; it is forgotten after a day.
MISSED = 3
FORGOTTEN_AFTER = timedelta(days=1)
# The longest wait of an ending worker for a database that does not answer.
PATIENCE_S = 2.0


def process_name() -> str:
    """Return a name of this process that is unique among all machines."""
    return f"{socket.gethostname()}:{os.getpid()}"[:200]


def worker_name(process: str) -> str:
    """Return the name of a worker on this machine, in the form of Celery's."""
    return f"{process}@{socket.gethostname()}"


class Heartbeat:
    """The heartbeat of a worker, in its own thread; it keeps trying if the database is away."""

    def __init__(self, name: str, *, every_s: float = HEARTBEAT_S) -> None:
        self._name = name[:200]
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Remove the worker's row. Take at most two seconds."""
        self._over.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        self._try(self._arrive)
        while not self._over.wait(self._every_s):
            self._try(self._beat)
        self._try(self._leave)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:
            # The thread must not end: the worker still runs, and would count as dead.
            logger.warning("No heartbeat: %s", error)
        finally:
            # Keep no connection open for one write in ten seconds.
            connection.close()

    def _arrive(self) -> None:
        """Store the worker's row; replace the row of a killed worker with this name."""
        Worker.objects.bulk_create(
            [Worker(name=self._name, process=process_name())],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["process", "started_at", "seen_at"],
        )

    def _beat(self) -> None:
        if not self._mine().update(seen_at=Now()):
            self._arrive()

    def _leave(self) -> None:
        self._mine().delete()

    def _mine(self) -> QuerySet[Worker]:
        return Worker.objects.filter(name=self._name, process=process_name())


def forget_workers() -> None:
    """Delete workers that were killed long ago."""
    Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN_AFTER).delete()
