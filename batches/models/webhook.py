"""Receivers of an event when a batch ends, and the deliveries to them."""

from functools import partial
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from batches.lifecycle import DELIVERY_TRANSITIONS, EVENT_TYPES, DeliveryStatus, sources_of
from batches.models.fields import choices, one_of, public_id


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def standing(self) -> "WebhookEndpointQuerySet":
        """Select the endpoints for all batches of a user, without callbacks of single batches."""
        return self.filter(batch=None)


class WebhookEndpoint(models.Model):
    """A URL of a user that receives events. Secrets are encrypted (Standard Webhooks).

    An endpoint with a batch is the callback of that batch, and receives only its events.
    """

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "we_"), editable=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    batch = models.OneToOneField(
        "batches.Batch", models.CASCADE, null=True, editable=False, related_name="callback"
    )
    name = models.CharField(max_length=100)
    url = models.CharField("URL", max_length=500)
    event_types = models.JSONField(default=list)
    secret = models.TextField(help_text="encrypted")
    # Valid for a day after a rotation, if the user asked for that.
    old_secret = models.TextField(blank=True, help_text="encrypted")
    old_secret_expires_at = models.DateTimeField(null=True)
    # While it is set, no event is announced to the endpoint.
    disabled_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = WebhookEndpointQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def due(self) -> "WebhookDeliveryQuerySet":
        """Select the deliveries that should be attempted now; no worker is attempting them."""
        return self.filter(status=DeliveryStatus.PENDING, next_attempt_at__lte=Now())

    def waiting(self) -> "WebhookDeliveryQuerySet":
        """Select the due deliveries whose endpoint has no retry pending: they wait for a worker,
        not for the endpoint to recover."""
        tried = WebhookDelivery.objects.filter(
            endpoint=OuterRef("endpoint"),
            status=DeliveryStatus.PENDING,
            attempts__gt=0,
            next_attempt_at__gt=Now(),
        )
        return self.due().filter(~Exists(tried))

    def move(self, target: DeliveryStatus, **values: Any) -> int:
        """Move the deliveries that may go to a status; return their number."""
        sources = sources_of(DELIVERY_TRANSITIONS, target)
        return self.filter(status__in=sources).update(status=target, **values)


class WebhookDelivery(models.Model):
    """One event for one endpoint: stored in the transaction of the event, and sent afterwards."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    event_id = models.CharField(max_length=64, default=partial(public_id, "evt_"))
    event_type = models.CharField(max_length=32, choices=choices(EVENT_TYPES))
    object_id = models.CharField(max_length=64, help_text="the id of the batch")
    status = models.CharField(
        max_length=16, choices=choices(DeliveryStatus), default=DeliveryStatus.PENDING
    )
    attempts = models.PositiveIntegerField(default=0)
    # Also the lease of the sending worker: moved forward before each attempt.
    next_attempt_at = models.DateTimeField(db_default=Now())
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    delivered_at = models.DateTimeField(null=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "webhook deliveries"
        constraints = (one_of("status", DeliveryStatus, "delivery_status_known"),)
        indexes = (
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(status=DeliveryStatus.PENDING),
                name="delivery_due",
            ),
            models.Index(fields=["endpoint", "id"], name="delivery_of_endpoint"),
        )

    def __str__(self) -> str:
        return f"{self.event_type} to {self.endpoint}"
