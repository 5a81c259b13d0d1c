"""/v1/models: the models of all providers."""

from collections.abc import Iterator
from typing import Literal

from django.urls import path
from pydantic import BaseModel
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.errors import ApiError
from batches.api.fields import ModelName, Time, shown
from batches.api.http.view import ApiView, documented, reply
from batches.models import Provider


class ModelObject(BaseModel):
    """A model, and the provider that serves it."""

    id: ModelName
    object: Literal["model"] = "model"
    created: Time
    owned_by: str = shown("simulated")


class ModelList(BaseModel):
    """The models of all providers."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


def all_models() -> Iterator[ModelObject]:
    """Yield each model once, with the oldest provider that lists it."""
    seen: set[str] = set()
    for provider in Provider.objects.order_by("pk"):
        created = int(provider.created_at.timestamp())
        for name in provider.model_names:
            if name not in seen:
                seen.add(name)
                yield ModelObject(id=name, created=created, owned_by=provider.name)


class ModelsView(ApiView):
    """All models."""

    @documented(operation_id="list_models", summary="List models", responses={200: ModelList})
    def get(self, _request: Request) -> Response:
        """List the models of all providers. A provider without a list takes other models too."""
        return reply(ModelList(data=list(all_models())))


class ModelView(ApiView):
    """One model."""

    @documented(operation_id="retrieve_model", summary="Get a model", responses={200: ModelObject})
    def get(self, _request: Request, model_id: str) -> Response:
        """Get a model that a provider lists."""
        for model in all_models():
            if model.id == model_id:
                return reply(model)
        message = f"The model {model_id!r} does not exist."
        raise ApiError(404, message, code="model_not_found", param="model")


urlpatterns = [
    path("models", ModelsView.as_view()),
    # Names of models have slashes.
    path("models/<path:model_id>", ModelView.as_view()),
]
