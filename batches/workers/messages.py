"""Messages to the workers. They only say that there may be work; the state is in the database.

Messages may be lost, duplicated, delayed or reordered without harm. They are sent by the names of
the tasks and by the Celery app of the project, so that a process that sends none loads no Celery.
"""

import logging
import threading
from typing import Any, Protocol, cast

from django.dispatch import receiver
from django.utils.module_loading import import_string

from batches.conf import conf
from batches.webhooks.signals import delivery_due

logger = logging.getLogger(__name__)

# The longest wait for the broker when sending a message; later the sweeper sends it.
ENQUEUE_PATIENCE_S = 2.0
# The name of the threads that send messages.
ENQUEUING = "enqueue"


class _CeleryApp(Protocol):
    def send_task(self, name: str, args: tuple[int], *, retry: bool) -> object: ...


class _Publisher:
    """Send messages in a separate thread, so that a broker that hangs does not block the caller."""

    def __init__(self) -> None:
        self._stuck: threading.Thread | None = None

    def send(self, task: str, pk: int) -> None:
        if self._stuck is not None and self._stuck.is_alive():
            return
        # Before the wait for the broker begins, since the first import of Celery takes long.
        app = cast("_CeleryApp", import_string(conf().TASKS_APP))
        thread = threading.Thread(
            target=self._publish, args=(app, task, pk), name=ENQUEUING, daemon=True
        )
        thread.start()
        thread.join(ENQUEUE_PATIENCE_S)
        self._stuck = thread if thread.is_alive() else None

    @staticmethod
    def _publish(app: _CeleryApp, task: str, pk: int) -> None:
        try:
            app.send_task(f"batches.tasks.{task}", (pk,), retry=False)
        except Exception as error:
            logger.warning("Could not enqueue %s %d; the sweeper will: %s", task, pk, error)


_publisher = _Publisher()


def enqueue(batch_id: int) -> None:
    """Enqueue a batch that may have work. Never raise an error; take at most two seconds."""
    _publisher.send("run_batch", batch_id)


@receiver(delivery_due)
def enqueue_delivery(delivery_id: int, **_: Any) -> None:
    """Enqueue a due delivery for the workers."""
    _publisher.send("deliver_webhook", delivery_id)
