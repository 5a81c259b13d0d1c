"""Messages to the workers. They only say that there may be work; the state is in the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.dispatch import receiver

from batches.conf import conf
from batches.webhooks.signals import delivery_due
from batches.workers.doorbells import Doorbell, doorbell_named

# The doorbell that this process answers itself, if any.
_own: Doorbell | None = None


@contextmanager
def answered_by(doorbell: Doorbell) -> Iterator[None]:
    """Ring this doorbell instead of the one of the settings, in all threads, during the block."""
    global _own  # noqa: PLW0603 - a process answers its own messages, or does not
    before, _own = _own, doorbell
    try:
        yield
    finally:
        _own = before


def _doorbell() -> Doorbell:
    return _own or doorbell_named(conf().DOORBELL)


def enqueue(batch_id: int) -> None:
    """Enqueue a batch that may have work. Never raise an error; take at most two seconds."""
    _doorbell().ring("run_batch", batch_id)


@receiver(delivery_due)
def enqueue_delivery(delivery_id: int, **_: Any) -> None:
    """Enqueue a due delivery for the workers."""
    _doorbell().ring("deliver_webhook", delivery_id)
