"""Events for webhooks: stored in the transaction of their cause, delivered afterwards.

Each event is delivered at least once: a worker may die after the answer of a receiver and before
it is recorded. The event's ID stays the same, so that a receiver can recognise repeats.
"""

import logging
import random
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Case, F, Min, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from batches.conf import conf
from batches.database import transaction
from batches.lifecycle import EVENT_TYPES, BatchStatus, DeliveryStatus
from batches.models import (
    Batch,
    BatchQuerySet,
    WebhookDelivery,
    WebhookEndpoint,
    lease_end,
    public_id,
)
from batches.net.addresses import AddressPolicy
from batches.secrets.encryption import NotDecryptable, decrypt, encrypt
from batches.signals import batch_ended, send_after_commit
from batches.webhooks.client import DEADLINE_S, ReceiverReply, post
from batches.webhooks.concurrency import DeliverySlots
from batches.webhooks.events import WebhookEvent, new_secret
from batches.webhooks.signals import delivery_due

logger = logging.getLogger(__name__)


FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 6 * 3600.0
GIVE_UP_AFTER = timedelta(hours=72)

# Longer than an attempt takes: after this time the worker that made it must have died.
ATTEMPT_LEASE_S = 3 * DEADLINE_S

# The time for which ended deliveries can be looked up.
KEEP_FOR = timedelta(days=30)
DELETED_AT_ONCE = 1000

# The most messages of a sweep: more than workers have threads is useless. The rest waits for the
# next sweep.
MAX_MESSAGES = 200

DELIVERIES_NOW = DeliverySlots(at_most=8, for_owner=2)


def end_batch(
    batch_id: int,
    this: BatchQuerySet,
    target: BatchStatus,
    *,
    sources: Collection[BatchStatus],
    **values: Any,
) -> bool:
    """End a batch, if it is still in `this`, and announce the end; both or neither."""
    with transaction.atomic():
        moved = this.move(target, sources=sources, **values)
        if moved:
            announce(batch_id, target)
            send_after_commit(batch_ended, Batch, batch_id=batch_id, status=str(target))
    return moved


def announce(batch_id: int, status: BatchStatus) -> None:
    """Store the deliveries for the end of a batch, in the caller's transaction."""
    event_type = f"batch.{status}"
    batch = Batch.objects.only("owner_id", "public_id").get(pk=batch_id)
    if batch.owner_id is None:
        return
    # Exclude the callbacks of other batches.
    mine = Q(batch=None) | Q(batch=batch_id)
    enabled = WebhookEndpoint.objects.filter(mine, owner=batch.owner_id, disabled_at=None)
    endpoints = enabled.order_by("pk")
    # Lock the endpoints, so that none is deleted or disabled before its delivery is stored.
    subscribed = [
        endpoint
        for endpoint in endpoints.select_for_update(no_key=True)
        if event_type in endpoint.event_types
    ]
    event_id = public_id("evt_")
    deliveries = WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            endpoint=endpoint,
            event_id=event_id,
            event_type=event_type,
            object_id=batch.public_id,
        )
        for endpoint in subscribed
    )
    for delivery in deliveries:
        transaction.on_commit(partial(_enqueue, delivery.pk), robust=True)


def add_callback(batch: Batch) -> None:
    """Create the webhook endpoint for the callback URL of a batch, with its own signing secret.

    Call it in the transaction that stores the batch.
    """
    if batch.callback_url and batch.owner_id is not None:
        WebhookEndpoint.objects.create(
            owner_id=batch.owner_id,
            batch=batch,
            name=f"callback of {batch.public_id}",
            url=batch.callback_url,
            event_types=list(EVENT_TYPES),
            secret=encrypt(new_secret()),
        )


def deliver(delivery_id: int) -> None:
    """Attempt a delivery once, if it is due and its endpoint is not being called already."""
    due = WebhookDelivery.objects.due().select_related("endpoint")
    delivery = due.filter(pk=delivery_id).first()
    if delivery is None:
        return
    endpoint = delivery.endpoint
    with DELIVERIES_NOW.one_for(endpoint.owner_id, endpoint.pk) as free:
        if not free:
            return
        if _claim(delivery):
            _record(delivery, send(endpoint, event_of(delivery)))
    _enqueue_next(endpoint.owner_id)


def send(endpoint: WebhookEndpoint, event: WebhookEvent) -> ReceiverReply:
    """Send an event to an endpoint, now."""
    now = timezone.now()
    try:
        headers = event.headers(_signing_secrets(endpoint, now), at=now)
    except NotDecryptable as error:
        return ReceiverReply(error=f"{error}; rotate the signing secret of this endpoint")
    return post(
        endpoint.url,
        headers=headers,
        content=event.content,
        addresses=AddressPolicy(conf().WEBHOOK_PRIVATE_HOSTS),
    )


def event_of(delivery: WebhookDelivery) -> WebhookEvent:
    return WebhookEvent(
        id=delivery.event_id,
        type=delivery.event_type,
        object_id=delivery.object_id,
        created_at=delivery.created_at,
    )


def retry_delay_s(attempts: int, *, chance: float) -> float:
    """Return the wait before the next attempt: it quadruples each time, with 25 % jitter.

    Eleven attempts fit into three days.
    """
    delay = min(LONGEST_RETRY_S, FIRST_RETRY_S * 4.0 ** min(attempts - 1, 16))
    return delay * (0.75 + chance / 2)


def sweep_deliveries() -> int:
    """Enqueue due deliveries, one for each endpoint; fail and delete old deliveries.

    Return the number of enqueued deliveries. The next one of an endpoint is enqueued when the
    current one is done. Owners share the number, since one of them may have callbacks for thousands
    of batches.
    """
    _give_up()
    _forget()
    owners = _first_due("endpoint__owner").values_list("endpoint__owner", flat=True)[:MAX_MESSAGES]
    pks: list[int] = []
    for owner in owners:
        firsts = _first_due("endpoint").filter(endpoint__owner=owner)
        pks += firsts.values_list("first", flat=True)[: max(MAX_MESSAGES // len(owners), 1)]
    for pk in pks:
        _enqueue(pk)
    return len(pks)


def _first_due(group: str) -> Any:
    """Return the first due delivery of each endpoint or owner; the longest waiting comes first."""
    grouped = WebhookDelivery.objects.due().values(group)
    return grouped.annotate(first=Min("pk"), since=Min("next_attempt_at")).order_by("since")


def _claim(delivery: WebhookDelivery) -> bool:
    """Claim the next attempt, unless another worker has it; a dead worker's claim expires."""
    taken = WebhookDelivery.objects.due().filter(pk=delivery.pk, attempts=delivery.attempts)
    delivery.attempts += 1
    return bool(
        taken.update(attempts=delivery.attempts, next_attempt_at=lease_end(ATTEMPT_LEASE_S))
    )


def _record(delivery: WebhookDelivery, answer: ReceiverReply) -> None:
    """Record the result of an attempt. Ignore it if the attempt outlived its lease and was
    repeated, or if the endpoint was deleted."""
    mine = WebhookDelivery.objects.filter(pk=delivery.pk, attempts=delivery.attempts)
    if answer.accepted:
        mine.move(
            DeliveryStatus.DELIVERED,
            status_code=answer.status_code,
            error="",
            delivered_at=Now(),
        )
        return
    delay = retry_delay_s(delivery.attempts, chance=random.random())
    over = timezone.now() + timedelta(seconds=delay) > delivery.created_at + GIVE_UP_AFTER
    mine.move(
        DeliveryStatus.FAILED if over else DeliveryStatus.PENDING,
        status_code=answer.status_code,
        error=answer.error,
        next_attempt_at=lease_end(delay),
    )
    if over:
        logger.warning("Gave up on event %s", delivery.event_id)


def _signing_secrets(endpoint: WebhookEndpoint, now: datetime) -> list[str]:
    """Return the valid secrets, newest first. Raise NotDecryptable."""
    stored = [endpoint.secret]
    if endpoint.old_secret and (endpoint.old_secret_expires_at or _EPOCH) > now:
        stored.append(endpoint.old_secret)
    return [decrypt(secret) for secret in stored]


_EPOCH = datetime.fromtimestamp(0, tz=UTC)


def _enqueue(delivery_id: int) -> None:
    delivery_due.send_robust(sender=WebhookDelivery, delivery_id=delivery_id)


def _enqueue_next(owner_id: int) -> None:
    """Enqueue a delivery that had to wait because its endpoint or owner was being served."""
    due = WebhookDelivery.objects.due().filter(endpoint__owner=owner_id)
    waiting = due.exclude(endpoint__in=DELIVERIES_NOW.busy).order_by("next_attempt_at", "pk")
    following = waiting.values_list("pk", flat=True).first()
    if following is not None:
        _enqueue(following)


def _give_up() -> None:
    """Fail deliveries that have waited for three days, without calling the dead endpoint again."""
    overdue = WebhookDelivery.objects.due().filter(created_at__lte=Now() - GIVE_UP_AFTER)
    silent = Value("the endpoint accepted nothing for 72 hours")
    # Prefer the error of the last attempt, if there is one.
    reason = Case(When(error="", then=silent), default=F("error"))
    overdue.move(DeliveryStatus.FAILED, error=reason)


def _forget() -> None:
    # Select by id, not by date, which finds the oldest rows without reading all others.
    ended = WebhookDelivery.objects.exclude(status=DeliveryStatus.PENDING)
    oldest = list(
        WebhookDelivery.objects.order_by("pk").values_list("pk", flat=True)[:DELETED_AT_ONCE]
    )
    ended.filter(pk__in=oldest, created_at__lte=Now() - KEEP_FOR).delete()
