"""/v1/webhook_endpoints: receivers of an event when a batch ends."""

import re

from django.db.models import F, QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.errors import ApiError
from batches.api.http.pages import list_page
from batches.api.http.view import ApiView, documented, find, for_user, owner_of, parse_body, reply
from batches.api.webhook_objects import (
    DeletedWebhookEndpoint,
    NewWebhookEndpoint,
    Rotation,
    TestRequest,
    WebhookDeliveryPage,
    WebhookEndpointChanges,
    WebhookEndpointObject,
    WebhookEndpointPage,
    WebhookEndpointTestResult,
    WebhookEndpointWithSecret,
    WebhookEventTypes,
    delivery_object,
    endpoint_object,
    with_secret,
)
from batches.engine.text.wording import value_text
from batches.lifecycle import EVENT_TYPES
from batches.models import WebhookDelivery, WebhookEndpoint
from batches.webhooks.endpoints import (
    UrlRefused,
    create_endpoint,
    delete_endpoint,
    disable_endpoint,
    enable_endpoint,
    rotate_secret,
    send_sample,
    update_endpoint,
)

DEFAULT_PAGE = 20
MAX_PAGE = 100

KIND = "webhook endpoint"

PAGE_PARAMETERS = [
    OpenApiParameter("after", str, description="the last id of the previous page"),
    OpenApiParameter("limit", int, description=f"1 to {MAX_PAGE}; {DEFAULT_PAGE} without it"),
]


# A URL with a user name also has a password, which must not be repeated.
_USER = re.compile(r"//[^/?#]*@")


def url_refused(error: UrlRefused, url: str, *, param: str = "url") -> ApiError:
    """Return the 400 for a URL that may not receive events."""
    reason = str(error)
    message = value_text(param, _USER.sub("//…@", url), f"{reason[:1].upper()}{reason[1:]}.")
    return ApiError(400, message, code="invalid_value", param=param)


def found(request: Request, endpoint_id: str) -> WebhookEndpoint:
    return find(WebhookEndpoint.objects.standing(), request, endpoint_id, kind=KIND)


def delivery_page(request: Request, deliveries: QuerySet[WebhookDelivery]) -> Response:
    """Return a page of deliveries, the newest first."""
    page = list_page(
        request,
        deliveries.select_related("endpoint").annotate(public_id=F("event_id")),
        delivery_object,
        default_limit=DEFAULT_PAGE,
        max_limit=MAX_PAGE,
    )
    return Response(page)


class WebhookEndpointsView(ApiView):
    """All webhook endpoints of a user."""

    @documented(
        operation_id="create_webhook_endpoint",
        summary="Create a webhook endpoint",
        request=NewWebhookEndpoint,
        responses={200: WebhookEndpointWithSecret},
    )
    def post(self, request: Request) -> Response:
        """Create an endpoint that receives events. Store the signing secret: it is shown once."""
        body = parse_body(request, NewWebhookEndpoint)
        try:
            made = create_endpoint(
                owner_of(request), name=body.name, url=body.url, event_types=body.event_types
            )
        except UrlRefused as error:
            raise url_refused(error, body.url) from error
        return reply(with_secret(made))

    @documented(
        operation_id="list_webhook_endpoints",
        summary="List webhook endpoints",
        parameters=PAGE_PARAMETERS,
        responses={200: WebhookEndpointPage},
    )
    def get(self, request: Request) -> Response:
        """List the webhook endpoints of the user, newest first."""
        endpoints = for_user(WebhookEndpoint.objects.standing(), owner_of(request))
        page = list_page(
            request, endpoints, endpoint_object, default_limit=DEFAULT_PAGE, max_limit=MAX_PAGE
        )
        return Response(page)


class WebhookEndpointView(ApiView):
    """One webhook endpoint."""

    @documented(
        operation_id="retrieve_webhook_endpoint",
        summary="Get a webhook endpoint",
        responses={200: WebhookEndpointObject},
    )
    def get(self, request: Request, endpoint_id: str) -> Response:
        """Get an endpoint, with only the end of its secret."""
        return reply(endpoint_object(found(request, endpoint_id)))

    @documented(
        operation_id="update_webhook_endpoint",
        summary="Change a webhook endpoint",
        request=WebhookEndpointChanges,
        responses={200: WebhookEndpointObject},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Change the name, the URL or the events, or disable the endpoint. Omitted fields stay as
        they are."""
        endpoint = found(request, endpoint_id)
        body = parse_body(request, WebhookEndpointChanges)
        try:
            changed = update_endpoint(
                endpoint, name=body.name, url=body.url, event_types=body.event_types
            )
        except UrlRefused as error:
            raise url_refused(error, body.url or "") from error
        if body.disabled is not None:
            (disable_endpoint if body.disabled else enable_endpoint)(changed)
        return reply(endpoint_object(changed))

    @documented(
        operation_id="delete_webhook_endpoint",
        summary="Delete a webhook endpoint",
        responses={200: DeletedWebhookEndpoint},
    )
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Delete an endpoint; its pending events are dropped."""
        delete_endpoint(found(request, endpoint_id))
        return reply(DeletedWebhookEndpoint(id=endpoint_id))


class RotateSecretView(ApiView):
    """The signing secret of an endpoint."""

    @documented(
        operation_id="rotate_webhook_secret",
        summary="Rotate a signing secret",
        request=Rotation,
        responses={200: WebhookEndpointWithSecret},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Create a new signing secret. On request, the old secret stays valid for another day."""
        endpoint = found(request, endpoint_id)
        keep = parse_body(request, Rotation).keep_old_secret_active_for_24_hours
        return reply(with_secret(rotate_secret(endpoint, keep_old=keep)))


class TestEndpointView(ApiView):
    """A connection test of an endpoint."""

    @documented(
        operation_id="test_webhook_endpoint",
        summary="Send a sample event",
        request=TestRequest,
        responses={200: WebhookEndpointTestResult},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send one sample event at once. If the endpoint does not answer, return an error."""
        endpoint = found(request, endpoint_id)
        event_type = parse_body(request, TestRequest).event_type
        answer = send_sample(endpoint, event_type)
        if answer.status_code is None:
            message = f"The endpoint could not be reached: {answer.error}."
            raise ApiError(400, message, code="webhook_endpoint_unreachable", param="url")
        return reply(
            WebhookEndpointTestResult(
                webhook_endpoint_id=endpoint_id,
                event_type=event_type,
                status_code=answer.status_code,
            )
        )


class DeliveriesView(ApiView):
    """The deliveries to an endpoint."""

    @documented(
        operation_id="list_webhook_deliveries",
        summary="List deliveries",
        parameters=PAGE_PARAMETERS,
        responses={200: WebhookDeliveryPage},
    )
    def get(self, request: Request, endpoint_id: str) -> Response:
        """List the deliveries to an endpoint in the last 30 days, newest first."""
        endpoint = found(request, endpoint_id)
        return delivery_page(request, WebhookDelivery.objects.filter(endpoint=endpoint))


class EventTypesView(ApiView):
    """The kinds of events."""

    @documented(
        operation_id="list_webhook_event_types",
        summary="List event types",
        responses={200: WebhookEventTypes},
    )
    def get(self, _request: Request) -> Response:
        """List the events that an endpoint can receive."""
        return reply(WebhookEventTypes(data=list(EVENT_TYPES)))


urlpatterns = [
    path("webhook_endpoints", WebhookEndpointsView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>", WebhookEndpointView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>/rotate_secret", RotateSecretView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>/test", TestEndpointView.as_view()),
    path("webhook_endpoints/<str:endpoint_id>/deliveries", DeliveriesView.as_view()),
    path("webhook_event_types", EventTypesView.as_view()),
]
