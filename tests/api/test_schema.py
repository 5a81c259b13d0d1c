"""What the API says of itself is valid, complete and served without help from other hosts."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from django.test import Client
from django.urls import URLPattern
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.validation import validate_schema

from batches.api.batch_request import CreateBatch
from batches.api.schema import schema
from batches.api.urls import urlpatterns
from tests.api.calling import error_of

SCHEMA = schema("/v1/")
UNDESCRIBED = ("docs", "openapi", "^$")
OPERATIONS = {
    operation["operationId"]: operation
    for path in SCHEMA["paths"].values()
    for operation in path.values()
    if "operationId" in operation
}


def references(part: object) -> Iterator[str]:
    """Every $ref in a part of the description."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_description_is_valid_and_made_without_a_warning() -> None:
    GENERATOR_STATS.reset()
    made = schema.__wrapped__("/tools/v1/")
    assert not GENERATOR_STATS
    validate_schema(made)  # type: ignore[no-untyped-call]  # of a library


def test_the_description_is_of_openapi_3_1() -> None:
    assert SCHEMA["openapi"].startswith("3.1")


def test_every_address_but_the_description_itself_is_described() -> None:
    routes = {
        "/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(entry.pattern))
        for entry in urlpatterns
        if isinstance(entry, URLPattern) and not str(entry.pattern).startswith(UNDESCRIBED)
    }
    assert routes - {"/v1/"} == set(SCHEMA["paths"])


def test_every_reference_leads_somewhere() -> None:
    known = {f"#/components/schemas/{name}" for name in SCHEMA["components"]["schemas"]}
    assert set(references(SCHEMA)) <= known


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_says_what_a_client_needs(name: str) -> None:
    operation = OPERATIONS[name]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
    assert operation["summary"]
    assert operation["description"]
    assert operation["security"] == [{"token": []}]
    error = operation["responses"]["default"]["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/ErrorEnvelope"}
    assert "200" in operation["responses"]
    for parameter in operation.get("parameters", []):
        assert parameter["in"] == "path" or parameter.get("description")


def bodies(operation: dict[str, Any]) -> Iterator[str]:
    """The components that are the JSON bodies of an operation."""
    responses = [operation["responses"][status] for status in operation["responses"]]
    for part in (operation.get("requestBody", {}), *responses):
        json_body = part.get("content", {}).get("application/json")
        if json_body:
            yield json_body["schema"]["$ref"].rpartition("/")[2]


def shown(part: Any) -> Any:
    """The example that the page builds for a schema from the examples of its fields."""
    if "$ref" in part and "examples" not in part:
        return shown(SCHEMA["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    if "examples" in part:
        return part["examples"][0]
    for known in ("default", "const"):
        if known in part:
            return part[known]
    if "enum" in part:
        return part["enum"][0]
    if "anyOf" in part:
        return shown(part["anyOf"][0])
    if part["type"] == "object":
        return {name: shown(inner) for name, inner in part.get("properties", {}).items()}
    if part["type"] == "array":
        return [shown(part["items"])]
    return {"integer": 0, "number": 0, "boolean": True, "string": "string"}[part["type"]]


NAMES = sorted({name for operation in OPERATIONS.values() for name in bodies(operation)})


@pytest.mark.parametrize("name", NAMES)
def test_a_body_has_an_example_that_fits(name: str) -> None:
    example = shown(SCHEMA["components"]["schemas"][name])
    validator = jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": SCHEMA["components"]}
    )
    assert [error.message for error in validator.iter_errors(example)] == []
    assert "string" not in json.dumps(example)


def test_the_example_of_a_new_batch_is_accepted() -> None:
    CreateBatch.model_validate(shown(SCHEMA["components"]["schemas"]["CreateBatch"])).check_source()


def test_a_token_is_sent_as_the_official_clients_do() -> None:
    scheme = SCHEMA["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_the_event_that_receivers_get_is_described() -> None:
    [event] = SCHEMA["webhooks"].values()
    body = event["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/WebhookEventObject"}


@pytest.fixture
def client() -> Client:
    """A client without a token."""
    return Client()


def test_the_description_is_public(client: Client) -> None:
    reply = client.get("/v1/openapi.json")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["paths"].keys() == SCHEMA["paths"].keys()


@pytest.mark.parametrize("address", ["/v1/docs", "/v1/docs?lang=//example.com&x=</script>"])
def test_the_page_loads_nothing_from_other_hosts(client: Client, address: str) -> None:
    page = client.get(address)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    text = page.content.decode()
    assert "//" not in text
    links = [html.unescape(link) for link in re.findall(r'(?:src|href)="([^"]+)"', text)]
    assert len(links) == text.count("<script") + text.count("<link") == 5
    for link in links:
        loaded = client.get(link)
        assert loaded.status_code == 200, link
        assert loaded.content
        assert loaded.headers["x-content-type-options"] == "nosniff"
    assert 'url: "openapi.json' in client.get(links[-1]).content.decode()
    policy = page.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "connect-src 'self'"} <= set(policy)
    assert not any("http" in directive for directive in policy)


@pytest.mark.parametrize("path", ["openapi.json", "docs", "docs?script="])
def test_the_pages_are_only_read(path: str) -> None:
    """Whoever asks: a client has no cookie against forgery."""
    client = Client(enforce_csrf_checks=True)
    error_of(client.post(f"/v1/{path}"), 405)
    error_of(client.delete(f"/v1/{path}"), 405)
    assert client.head(f"/v1/{path}").status_code == 200
