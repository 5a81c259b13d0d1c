"""Request and response objects for webhooks."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from batches.api.fields import (
    BatchId,
    EndpointId,
    EventId,
    EventName,
    RareText,
    RareTime,
    Secret,
    Time,
    shown,
)
from batches.api.http.pages import Page
from batches.api.http.view import RequestModel
from batches.lifecycle import DeliveryStatus, EventType
from batches.models import WebhookDelivery, WebhookEndpoint
from batches.net.addresses import without_addresses
from batches.webhooks.endpoints import WithSecret, secret_hint

Name = Annotated[str, Field(min_length=1, max_length=100, examples=["production"])]
RECEIVER = "https://example.com/hooks/batches"
Url = Annotated[str, Field(max_length=500, examples=[RECEIVER])]
EventTypes = Annotated[
    list[EventType], Field(min_length=1, max_length=100, examples=[["batch.completed"]])
]


class NewWebhookEndpoint(RequestModel):
    """A new receiver of events."""

    name: Name
    url: Url
    event_types: EventTypes


class WebhookEndpointChanges(RequestModel):
    """Changes to an endpoint; omitted fields stay as they are. A disabled endpoint receives no
    events; the events of that time are not sent later."""

    name: Name | None = None
    url: Url | None = None
    event_types: EventTypes | None = None
    disabled: bool | None = None


class Rotation(RequestModel):
    """The rotation of a secret: events can be signed with the old one as well, for a day."""

    keep_old_secret_active_for_24_hours: bool = False


class TestRequest(RequestModel):
    """A request to send a sample event."""

    event_type: EventType


class WebhookEndpointObject(BaseModel):
    """A receiver of events."""

    id: EndpointId
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    name: str = shown("production")
    url: str = shown(RECEIVER)
    event_types: list[EventName]
    created_at: Time
    updated_at: Time
    signing_secret_hint: str | None = shown("whsec_...x4Y=")
    disabled_at: RareTime


class WebhookEndpointWithSecret(WebhookEndpointObject):
    """A receiver of events with its signing secret, which is shown only once."""

    signing_secret: Secret


class WebhookEndpointPage(Page):
    """A page of webhook endpoints."""

    data: list[WebhookEndpointObject]


class DeletedWebhookEndpoint(BaseModel):
    """A deleted webhook endpoint."""

    id: EndpointId
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookEndpointTestResult(BaseModel):
    """The status of the receiver's answer, even if it is an error."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: EndpointId
    event_type: EventName
    status_code: int = shown(204)
    success: Literal[True] = True


class WebhookDeliveryObject(BaseModel):
    """The delivery of an event to an endpoint; `id` is the ID of the event."""

    id: EventId
    object: Literal["webhook_delivery"] = "webhook_delivery"
    webhook_endpoint_id: EndpointId
    event_type: EventName
    batch_id: BatchId
    status: DeliveryStatus = shown("delivered")
    attempts: int = shown(1)
    status_code: int | None = shown(204)
    error: RareText
    created_at: Time
    next_attempt_at: RareTime
    delivered_at: Time | None


class WebhookDeliveryPage(Page):
    """A page of deliveries."""

    data: list[WebhookDeliveryObject]


class WebhookEventTypes(BaseModel):
    """The list of event types."""

    object: Literal["list"] = "list"
    data: list[EventName]


class BatchReference(BaseModel):
    """The batch of an event."""

    id: BatchId


class WebhookEventObject(BaseModel):
    """An event, as sent to receivers."""

    id: EventId
    object: Literal["event"] = "event"
    created_at: Time
    type: EventType
    data: BatchReference


def endpoint_object(endpoint: WebhookEndpoint) -> WebhookEndpointObject:
    """Return the API object of an endpoint."""
    disabled_at = endpoint.disabled_at
    return WebhookEndpointObject(
        id=endpoint.public_id,
        name=endpoint.name,
        url=endpoint.url,
        event_types=endpoint.event_types,
        created_at=int(endpoint.created_at.timestamp()),
        updated_at=int(endpoint.updated_at.timestamp()),
        signing_secret_hint=secret_hint(endpoint),
        disabled_at=int(disabled_at.timestamp()) if disabled_at else None,
    )


def with_secret(made: WithSecret) -> WebhookEndpointWithSecret:
    shown = endpoint_object(made.endpoint).model_dump()
    return WebhookEndpointWithSecret(**shown, signing_secret=made.secret)


def delivery_object(delivery: WebhookDelivery) -> WebhookDeliveryObject:
    """Return the API object of a delivery."""
    pending = delivery.status == DeliveryStatus.PENDING
    delivered_at = delivery.delivered_at
    return WebhookDeliveryObject(
        id=delivery.event_id,
        webhook_endpoint_id=delivery.endpoint.public_id,
        event_type=delivery.event_type,
        batch_id=delivery.object_id,
        status=delivery.status,
        attempts=delivery.attempts,
        status_code=delivery.status_code,
        error=without_addresses(delivery.error) or None,
        created_at=int(delivery.created_at.timestamp()),
        next_attempt_at=int(delivery.next_attempt_at.timestamp()) if pending else None,
        delivered_at=int(delivered_at.timestamp()) if delivered_at else None,
    )
