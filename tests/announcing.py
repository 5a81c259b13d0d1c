"""Short ways to what tests of webhooks need: endpoints, ends of batches, time that passes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from batches.lifecycle import EVENT_TYPES, BatchStatus
from batches.models import Batch, Provider, WebhookDelivery, WebhookEndpoint
from batches.webhooks import endpoints as webhook_endpoints
from batches.webhooks.deliveries import end_batch
from batches.webhooks.signals import delivery_due
from tests.makers import batch_of
from tests.scripted_server import closed_port


def batch_owned_by(owner: User, provider: Provider) -> Batch:
    """A batch of two prompts."""
    made = batch_of(provider, 2, batch_size=2)
    Batch.objects.filter(pk=made.pk).update(owner=owner)
    made.refresh_from_db()
    return made


def subscribed(
    owner: User, url: str = "https://example.com/hook", *event_types: str
) -> webhook_endpoints.WithSecret:
    return webhook_endpoints.create_endpoint(
        owner, name="hook", url=url, event_types=event_types or list(EVENT_TYPES)
    )


def failing(owner: User) -> WebhookEndpoint:
    """An endpoint at which nobody listens."""
    return subscribed(owner, f"http://127.0.0.1:{closed_port()}/").endpoint


def ended(batch: Batch, target: BatchStatus = BatchStatus.COMPLETED) -> bool:
    """End a batch as it would end by itself."""
    source = {
        BatchStatus.COMPLETED: BatchStatus.FINALIZING,
        BatchStatus.EXPIRED: BatchStatus.IN_PROGRESS,
        BatchStatus.CANCELLED: BatchStatus.CANCELLING,
        BatchStatus.FAILED: BatchStatus.VALIDATING,
    }[target]
    Batch.objects.filter(pk=batch.pk).update(status=source)
    return end_batch(batch.pk, Batch.objects.filter(pk=batch.pk), target, sources={source})


def the_delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.select_related("endpoint").get()


def make_due() -> None:
    """Let the time until the next attempts pass."""
    WebhookDelivery.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))


@contextmanager
def rings() -> Iterator[list[int]]:
    """What is rung for, instead of a worker."""
    heard: list[int] = []

    def listen(delivery_id: int, **_: object) -> None:
        heard.append(delivery_id)

    delivery_due.connect(listen)
    try:
        yield heard
    finally:
        delivery_due.disconnect(listen)
