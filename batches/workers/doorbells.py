"""The doorbells: how a worker learns that a batch or a delivery may have work.

The state is in the database. A bell may be lost, doubled, late or out of order without harm: the
sweeper rings again, and a worker that finds nothing to do goes back to sleep.
"""

import logging
import threading
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, Literal, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from batches.conf import conf

logger = logging.getLogger(__name__)

# The longest wait for a broker or queue; later the sweeper rings.
RING_PATIENCE_S = 2.0
# The name of the threads that ring.
RINGING = "ring"

# The backends of Django itself; the first is the default.
WITHOUT_WORKERS = {"ImmediateBackend", "DummyBackend"}

Task = Literal["run_batch", "deliver_webhook"]


class Doorbell(Protocol):
    """Tells the workers that there may be work."""

    def ring(self, task: Task, pk: int) -> None:
        """Ask a worker to carry out a task. Never raise an error; take at most two seconds."""


class _Publisher(ABC):
    """Publish in a separate thread, so that a broker that hangs does not block the caller."""

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    def ring(self, task: Task, pk: int) -> None:
        if self._stuck is not None and self._stuck.is_alive():
            return
        try:
            # Before the wait for the broker begins, since the first import takes long.
            queue = self._load(task)
        except Exception as error:
            _warn(task, pk, error)
            return
        thread = threading.Thread(
            target=self._try, args=(queue, task, pk), name=RINGING, daemon=True
        )
        thread.start()
        thread.join(RING_PATIENCE_S)
        self._stuck = thread if thread.is_alive() else None

    def check(self) -> None:
        """Raise an exception if this doorbell cannot ring in this project."""
        self._load("run_batch")

    def _try(self, queue: Any, task: Task, pk: int) -> None:
        try:
            self._publish(queue, task, pk)
        except Exception as error:
            _warn(task, pk, error)
        finally:
            # A queue may be in the database, and this thread does not come back.
            connections.close_all()

    @abstractmethod
    def _load(self, task: Task) -> Any:
        """Import what publishes the messages of a task."""

    @abstractmethod
    def _publish(self, queue: Any, task: Task, pk: int) -> None:
        """Publish the message of a task. May raise any error."""


def _warn(task: Task, pk: int, error: Exception) -> None:
    logger.warning("Could not enqueue %s %d; the sweeper will: %s", task, pk, error)


class CeleryDoorbell(_Publisher):
    """Sends Celery messages by the names of the tasks, with the project's queues and routes.

    Only a process that rings loads Celery.
    """

    def _load(self, task: Task) -> Any:  # noqa: ARG002 - one app sends all
        path = conf().TASKS_APP
        app = import_string(path)
        if not hasattr(app, "send_task"):
            raise ImproperlyConfigured(f"TASKS_APP: {path} is not a Celery app")
        return app

    def _publish(self, queue: Any, task: Task, pk: int) -> None:
        queue.send_task(f"batches.tasks.{task}", (pk,), retry=False)


class TasksDoorbell(_Publisher):
    """Enqueues tasks of Django's tasks framework: `django.tasks`, or the package `django-tasks`."""

    def _load(self, task: Task) -> Any:
        found: Any = import_string(f"batches.django_tasks.{task}")
        backend = type(found.get_backend()).__name__
        if backend in WITHOUT_WORKERS:
            raise ImproperlyConfigured(
                f"{backend} has no workers: it would run a batch within a request, or never. Name "
                "a backend with workers in TASKS, such as django_tasks_db.DatabaseBackend; or set "
                "DOORBELL to 'none', and start `manage.py work`"
            )
        return found

    def _publish(self, queue: Any, task: Task, pk: int) -> None:  # noqa: ARG002 - it is the task
        queue.enqueue(pk)


class NoDoorbell:
    """Does nothing: `manage.py work` finds the work in the database."""

    def check(self) -> None: ...

    def ring(self, task: Task, pk: int) -> None: ...


OfSettings = CeleryDoorbell | TasksDoorbell | NoDoorbell
DOORBELLS: dict[str, type[OfSettings]] = {
    "celery": CeleryDoorbell,
    "tasks": TasksDoorbell,
    "none": NoDoorbell,
}


@cache
def doorbell_named(name: str) -> OfSettings:
    """Return the doorbell of this name, one in each process."""
    return DOORBELLS[name]()
