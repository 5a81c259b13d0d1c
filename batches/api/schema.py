"""/v1/openapi.json and /v1/docs: the public description of the API, without external content."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from csp.decorators import csp_replace
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from drf_spectacular.views import SpectacularSwaggerSplitView
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.errors import ApiError, ErrorEnvelope, api_root
from batches.api.http.view import ApiView, documented
from batches.api.webhook_objects import WebhookEventObject
from batches.extras import apps_lacking

REFERENCE = "#/components/schemas/{model}"

# Ours alone: the project may describe an API of its own with the same library.
SETTINGS: dict[str, Any] = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "Threephase",
    "DESCRIPTION": "Large batches of LLM prompts, in the OpenAI Batch dialect.",
    "VERSION": "1",
    "POSTPROCESSING_HOOKS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},
}
METHODS = ("get", "post", "put", "patch", "delete")


class BearerToken(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself
    """The authentication of a client by its token."""

    target_class = "batches.api.http.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, _schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token from `manage.py create_token USERNAME`.",
        }


def with_what_all_share(result: dict[str, Any]) -> dict[str, Any]:
    """Add the errors of all operations and the webhook events."""
    components = result["components"].setdefault("schemas", {})
    components.update(_schemas_of(ErrorEnvelope, WebhookEventObject))
    error = {
        "description": "The error.",
        "content": {"application/json": {"schema": _reference(ErrorEnvelope)}},
    }
    for operations in result["paths"].values():
        for method in METHODS:
            if method in operations:
                operations[method]["responses"]["default"] = error
    result["webhooks"] = {"batch": {"post": _event_operation()}}
    return result


@lru_cache(maxsize=2)
def schema(root: str) -> dict[str, Any]:
    """Return the OpenAPI description of the API under this path. It is cached, since building it is
    slow."""
    with patched_settings({**SETTINGS, "SCHEMA_PATH_PREFIX": re.escape(root.rstrip("/"))}):
        ours = [path(root.lstrip("/"), include("batches.api.urls"))]
        generator = SchemaGenerator(patterns=ours)  # type: ignore[no-untyped-call]  # of a library
        made: dict[str, Any] = generator.get_schema(public=True)  # type: ignore[no-untyped-call]  # untyped there
    return with_what_all_share(made)


class PublicView(ApiView):
    """A view that needs no token."""

    authentication_classes = ()
    permission_classes: Sequence[type[BasePermission]] = ()


@documented(exclude=True)
class OpenApiView(PublicView):
    """The description for programs."""

    def get(self, _request: Request) -> HttpResponse:
        return JsonResponse(schema(api_root() or "/"), json_dumps_params={"ensure_ascii": False})


@documented(exclude=True)
class DocsView(PublicView, SpectacularSwaggerSplitView):
    """The description for people. The page and its script come from this address."""

    url = "openapi.json"
    renderer_classes = (JSONRenderer,)  # type: ignore[assignment]  # of errors; a list there

    @method_decorator(csp_replace({"script-src": ["'self'"], "form-action": ["'none'"]}))
    def get(self, request: Request) -> Response:
        if missing := apps_lacking():
            raise ApiError(
                404,
                f"This page needs {' and '.join(missing)} among the INSTALLED_APPS of the server. "
                "openapi.json beside it describes the API as well.",
            )
        with patched_settings(SETTINGS):
            page: Response = super().get(request)  # type: ignore[no-untyped-call]  # untyped there
        request.accepted_renderer = TemplateHTMLRenderer()
        return page


def _schemas_of(*models: type[BaseModel]) -> dict[str, Any]:
    _, made = models_json_schema(
        [(model, "serialization") for model in models], ref_template=REFERENCE
    )
    definitions: dict[str, Any] = made["$defs"]
    return definitions


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _event_operation() -> dict[str, Any]:
    return {
        "operationId": "receive_batch_event",
        "summary": "A batch has ended",
        "description": (
            "Sent to webhook endpoints, signed as in Standard Webhooks. Answer with any 2xx "
            "within ten seconds; after any other answer the event is retried for three days."
        ),
        "requestBody": {
            "content": {"application/json": {"schema": _reference(WebhookEventObject)}}
        },
        "responses": {"2XX": {"description": "Received."}},
    }


urlpatterns = [
    path("openapi.json", OpenApiView.as_view()),
    path("docs", DocsView.as_view()),
]
