"""The models that may be asked for are those that providers list."""

import pytest
from django.test import Client

from batches.models import Provider
from tests.api.calling import client_of, error_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    for name, models in (
        ("first", ["small", "meta/large"]),
        ("any", []),
        ("second", ["small", "tiny"]),
    ):
        Provider.objects.create(name=name, base_url="http://127.0.0.1:9/v1", model_names=models)
    return client_of()


def test_each_model_is_listed_once_with_its_first_provider(client: Client) -> None:
    body = client.get("/v1/models").json()
    assert body["object"] == "list"
    owners = [(model["id"], model["owned_by"]) for model in body["data"]]
    assert owners == [("small", "first"), ("meta/large", "first"), ("tiny", "second")]
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in body["data"])
    assert all(model["object"] == "model" for model in body["data"])


@pytest.mark.parametrize("name", ["meta/large", "meta%2Flarge", "small"])
def test_a_model_is_found_also_with_a_slash_in_its_name(client: Client, name: str) -> None:
    body = client.get(f"/v1/models/{name}").json()
    assert body["id"] == name.replace("%2F", "/")
    assert isinstance(body["created"], int)


@pytest.mark.parametrize("name", ["nothing", "Small", "small/", "%00"])
def test_an_unknown_model_is_404(client: Client, name: str) -> None:
    error = error_of(client.get(f"/v1/models/{name}"), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_without_providers_there_are_no_models() -> None:
    assert client_of().get("/v1/models").json() == {"object": "list", "data": []}
