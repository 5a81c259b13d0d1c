"""Operations of users on webhook endpoints. A secret is shown once, when it is created."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone

from batches.conf import conf
from batches.database import transaction
from batches.errors import NotPossible
from batches.lifecycle import DeliveryStatus
from batches.models import Batch, WebhookDelivery, WebhookEndpoint, lease_end, public_id
from batches.net.addresses import AddressPolicy
from batches.secrets.encryption import NotDecryptable, decrypt, encrypt
from batches.users import User, all_users
from batches.webhooks.client import ReceiverReply, check_webhook_url
from batches.webhooks.deliveries import send
from batches.webhooks.events import SECRET_PREFIX, WebhookEvent, new_secret

OLD_SECRET_GOOD_FOR = timedelta(hours=24)
HINT_CHARS = 4


class UrlRefused(Exception):
    """A URL may not receive events; the message says why."""


@dataclass(frozen=True, slots=True)
class WithSecret:
    """An endpoint with its new secret, which is not shown again."""

    endpoint: WebhookEndpoint
    secret: str


def create_endpoint(owner: User, *, name: str, url: str, event_types: Sequence[str]) -> WithSecret:
    """Create an endpoint. Raise UrlRefused, or NotPossible if the user has too many."""
    check_url(url)
    secret = new_secret()
    with transaction.atomic():
        # Lock the user, so that concurrent requests cannot exceed the limit.
        all_users().select_for_update(no_key=True).get(pk=owner.pk)
        most = conf().MAX_WEBHOOK_ENDPOINTS_PER_USER
        if WebhookEndpoint.objects.standing().filter(owner=owner).count() >= most:
            raise NotPossible(f"a user has at most {most} webhook endpoints; delete one first")
        endpoint = WebhookEndpoint.objects.create(
            owner=owner,
            name=name,
            url=url,
            event_types=list(dict.fromkeys(event_types)),
            secret=encrypt(secret),
        )
    endpoint.refresh_from_db()
    return WithSecret(endpoint, secret)


def update_endpoint(
    endpoint: WebhookEndpoint,
    *,
    name: str | None = None,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
) -> WebhookEndpoint:
    """Change the given fields. Raise UrlRefused."""
    if url is not None:
        check_url(url)
    given = {
        "name": name,
        "url": url,
        "event_types": None if event_types is None else list(dict.fromkeys(event_types)),
    }
    changed: dict[str, Any] = {
        field: value
        for field, value in given.items()
        if value is not None and value != getattr(endpoint, field)
    }
    if changed:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**changed, updated_at=Now())
        endpoint.refresh_from_db()
    return endpoint


def rotate_secret(endpoint: WebhookEndpoint, *, keep_old: bool) -> WithSecret:
    """Sign with a new secret from now on; with `keep_old`, also with the old one for a day."""
    secret = new_secret()
    until = lease_end(OLD_SECRET_GOOD_FOR.total_seconds())
    with transaction.atomic():
        this = WebhookEndpoint.objects.filter(pk=endpoint.pk)
        old = this.select_for_update(no_key=True).values_list("secret", flat=True).get()
        this.update(
            secret=encrypt(secret),
            old_secret=old if keep_old else "",
            old_secret_expires_at=until if keep_old else None,
            updated_at=Now(),
        )
    endpoint.refresh_from_db()
    return WithSecret(endpoint, secret)


def disable_endpoint(endpoint: WebhookEndpoint) -> None:
    """Send no more events to an endpoint; its pending deliveries fail."""
    if endpoint.disabled_at:
        return
    with transaction.atomic():
        # Lock it first, so that no event is announced to it meanwhile.
        this = WebhookEndpoint.objects.filter(pk=endpoint.pk)
        list(this.select_for_update(no_key=True).values_list("pk"))
        this.update(disabled_at=Now(), updated_at=Now())
        WebhookDelivery.objects.filter(endpoint=endpoint).move(
            DeliveryStatus.FAILED, error="the endpoint was disabled"
        )
    endpoint.refresh_from_db()


def enable_endpoint(endpoint: WebhookEndpoint) -> None:
    """Send the events of batches that end from now on."""
    if not endpoint.disabled_at:
        return
    this = WebhookEndpoint.objects.filter(pk=endpoint.pk)
    this.update(disabled_at=None, updated_at=Now())
    endpoint.refresh_from_db()


def delete_endpoint(endpoint: WebhookEndpoint) -> None:
    """Delete an endpoint and its pending deliveries."""
    with transaction.atomic():
        # Lock it first, so that no event is announced to it meanwhile.
        this = WebhookEndpoint.objects.filter(pk=endpoint.pk)
        list(this.select_for_update().values_list("pk"))
        this.delete()


def send_sample(endpoint: WebhookEndpoint, event_type: str) -> ReceiverReply:
    """Send a sample event once, now."""
    event = WebhookEvent(
        id=public_id("evt_"), type=event_type, object_id="batch_test", created_at=timezone.now()
    )
    return send(endpoint, event)


def secret_hint(endpoint: WebhookEndpoint) -> str | None:
    """Return the end of the secret, to recognise it; None if it cannot be decrypted."""
    try:
        return f"{SECRET_PREFIX}...{decrypt(endpoint.secret)[-HINT_CHARS:]}"
    except NotDecryptable:
        return None


def callback_secret(batch: Batch) -> str | None:
    """Return the secret that signs the events of the callback of a batch, if it has one."""
    callback = WebhookEndpoint.objects.filter(batch=batch).first()
    try:
        return decrypt(callback.secret) if callback else None
    except NotDecryptable:
        return None


def check_url(url: str) -> None:
    """Raise UrlRefused for a URL that may not receive events."""
    try:
        check_webhook_url(url, AddressPolicy(conf().WEBHOOK_PRIVATE_HOSTS))
    except ValueError as error:
        raise UrlRefused(str(error)) from error
