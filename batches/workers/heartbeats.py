"""Workers say again and again that they are there, so that an idle one is told from a dead one."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from batches.models import Worker

logger = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
# Who misses so many heartbeats is taken for dead, and forgotten after a day.
MISSED = 3
FORGOTTEN_AFTER = timedelta(days=1)
# How long the end of a worker waits for a database that does not answer.
PATIENCE_S = 2.0


def process_name() -> str:
    """The name of this process among all machines."""
    return f"{socket.gethostname()}:{os.getpid()}"[:200]


class Heartbeat:
    """The heartbeat of a worker, in a thread of its own; without a database it goes on trying."""

    def __init__(self, name: str, *, every_s: float = HEARTBEAT_S) -> None:
        self._name = name[:200]
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Say that the worker is gone. Takes two seconds at most."""
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
            # It must not end: the worker goes on without it, and would be taken for dead.
            logger.warning("No heartbeat: %s", error)
        finally:
            # Nothing is kept open for one write in ten seconds.
            connection.close()

    def _arrive(self) -> None:
        """Take the place of a worker of this name that was killed."""
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
    """Forget those that were killed long ago."""
    Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN_AFTER).delete()
