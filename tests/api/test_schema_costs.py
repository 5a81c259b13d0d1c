"""Many large schemas: a request does not wait for them, and there are bounds that say so."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from batches.engine.structured.schema_bill import CHECKED_BYTES, FREE_BYTES
from batches.intake import tally
from batches.models import Batch, Result
from batches.runner.run import run_slice
from tests.api.calling import client_of, error_of
from tests.api.test_batches import created, file_of, line, of_file, post, read, row
from tests.configuring import configure
from tests.large_schemas import asking, large_schema
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

FIELDS = 150
PLACE = "body.response_format.json_schema.schema"
BAD = {**large_schema(1, fields=FIELDS), "type": "objekt"}


def size_of(schema: Any) -> int:
    return len(json.dumps(schema, separators=(",", ":")))


SIZE = size_of(large_schema(1000, fields=FIELDS))


def requests_of(*schemas: Any) -> list[dict[str, Any]]:
    return [
        {"custom_id": f"id-{number}", "body": asking(schema)}
        for number, schema in enumerate(schemas)
    ]


def inline(*schemas: Any, **more: Any) -> dict[str, Any]:
    return {"requests": requests_of(*schemas), "body": {"model": MODEL}, **more}


def different(count: int, first: int = 1000) -> list[Any]:
    return [large_schema(first + number, fields=FIELDS) for number in range(count)]


def content_of(*schemas: Any) -> str:
    bodies = ({"model": MODEL, **asking(schema)} for schema in schemas)
    return "\n".join(json.dumps(line(f"id-{n}", body=body)) for n, body in enumerate(bodies))


def test_a_request_with_many_schemas_compiles_but_the_first_of_them(
    client: Client, compiled: list[Any]
) -> None:
    batch = created(client, inline(*different(40, first=2000)))
    assert batch["request_counts"]["total"] == 40
    assert 1 <= len(compiled) <= CHECKED_BYTES // SIZE + 1 < 20


@pytest.mark.parametrize(("kind", "most"), [({}, 300), ({"pattern": r"^\p{L}{1,4}$"}, 40)])
def test_many_small_schemas_are_bounded_too(
    client: Client, compiled: list[Any], kind: Any, most: int
) -> None:
    schemas = [{"type": "object", "properties": {f"x{most}{n}": kind}} for n in range(most * 2)]
    created(client, inline(*schemas))
    assert 1 < len(compiled) < most


def test_equal_schemas_are_compiled_once_and_all_checked(
    client: Client, user: User, compiled: list[Any]
) -> None:
    schema = large_schema(3000, fields=FIELDS)
    batch = created(client, inline(*[schema] * 100))
    assert compiled == [schema]
    assert row(batch).schema_bytes == SIZE
    error = error_of(post(client, inline(*[schema] * 50, BAD)), 400)
    assert error["param"] == f"requests[50].{PLACE}.type"


def test_a_bad_schema_that_is_not_checked_in_the_request_fails_its_prompt(client: Client) -> None:
    small = {"type": "object"}
    bad = {**large_schema(1, fields=5), "type": "objekt"}
    # What exhausts the allowance compiles fast.
    filling = [{"enum": [f"{'x' * 4000}{n}{i}" for i in range(20)]} for n in range(4)]
    batch = created(client, inline(*filling, bad, small))
    assert run_slice(row(batch).pk).ended
    [failed] = Result.objects.filter(batch=row(batch), status="failed")
    assert (failed.index, failed.kind) == (4, "rejected")
    assert "objekt" in failed.message


def too_many(settings: Settings) -> None:
    configure(settings, MAX_SCHEMA_BYTES_PER_BATCH=5 * SIZE)


def check_remedy(error: Mapping[str, Any]) -> None:
    assert error["code"] == "too_many_schemas"
    for said in ("the 5 different schemas", f"{5 * SIZE} bytes", "MAX_SCHEMA_BYTES_PER_BATCH"):
        assert said in error["message"]
    assert "split the batch" in error["message"]


def test_too_many_schemas_in_a_request_are_refused_with_place_and_remedy(
    client: Client, settings: Settings, compiled: list[Any]
) -> None:
    too_many(settings)
    error = error_of(
        post(client, inline(*different(5), {"type": "object"}, *different(4, 5000))), 400
    )
    check_remedy(error)
    assert error["param"] == f"requests[6].{PLACE}"
    assert len(compiled) <= 6
    assert created(client, inline(*different(5), *different(5)))["status"] == "in_progress"


def test_too_many_schemas_in_a_file_fail_the_batch_with_one_error(
    client: Client, user: User, settings: Settings, compiled: list[Any]
) -> None:
    too_many(settings)
    file = file_of(user, content_of(*different(5, 6000), {"type": "object"}, *different(9, 7000)))
    batch = created(client, of_file(file.public_id))
    assert not read(batch)
    [error] = client.get(f"/v1/batches/{batch['id']}").json()["errors"]["data"]
    check_remedy(error)
    assert (error["line"], error["param"]) == (7, PLACE)
    # None that is too many was compiled.
    assert len(compiled) <= 6


def test_small_schemas_do_not_count(client: Client, settings: Settings) -> None:
    too_many(settings)
    small = [{"enum": [f"{'x' * 900}{n}{i}" for i in range(4)]} for n in range(100)]
    assert size_of(small[0]) < FREE_BYTES
    assert size_of(small) > 5 * SIZE
    batch = created(client, inline(*small))
    assert row(batch).schema_bytes == 0
    assert batch["warnings"] == []


@pytest.mark.parametrize("place", ["prompt", "defaults"])
def test_the_schemas_of_one_request_are_bounded_together(
    client: Client, settings: Settings, place: str
) -> None:
    configure(settings, MAX_LINE_BYTES=4 * 1024 * 1024)
    parameters = {"type": "object", "properties": {"a": {"description": "x" * 200_000}}}
    tools = [
        {
            "type": "function",
            "function": {"name": f"t{n}", "strict": True, "parameters": parameters},
        }
        for n in range(6)
    ]
    asked = inline({"type": "object"})
    target = asked["requests"][0]["body"] if place == "prompt" else asked["body"]
    target["tools"] = tools
    error = error_of(post(client, asked), 400)
    assert error["param"].endswith("body.tools.5.function.parameters")
    assert "Offer fewer tools" in error["message"]


def test_the_unfinished_batches_of_a_user_are_bounded_together(
    client: Client, user: User, settings: Settings
) -> None:
    configure(settings, MAX_SCHEMA_BYTES_PER_USER=5 * SIZE)
    first = created(client, inline(*different(3)))
    error = error_of(post(client, inline(*different(3))), 400)
    assert error["code"] == "too_many_schemas"
    assert error["param"] == "requests[2]"
    assert "MAX_SCHEMA_BYTES_PER_USER" in error["message"]
    shared = inline({"type": "object"})
    shared["body"] |= asking(large_schema(4000, fields=FIELDS * 4))
    error = error_of(post(client, shared), 400)
    assert (error["code"], error["param"]) == ("too_many_schemas", "body")
    assert "unfinished batches" in error["message"]
    file = file_of(user, content_of(*different(3)))
    late = created(client, of_file(file.public_id))
    assert not read(late)
    assert [error["code"] for error in row(late).errors] == ["too_many_schemas"]
    # Prompts without such schemas are taken, and so are those of others and those that come later.
    created(client, inline({"type": "object"}))
    created(client_of(), inline(*different(3)))
    Batch.objects.filter(public_id=first["id"]).update(status="completed")
    created(client, inline(*different(3)))


def test_what_many_schemas_cost_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert created(client, inline(*different(2)))["warnings"] == []
    monkeypatch.setattr(tally, "LEAST_TOLD_BYTES", 2 * SIZE)
    [warning] = created(client, inline(*different(2), *different(2)))["warnings"]
    assert warning["code"] == "large_schemas"
    assert "2 different JSON Schemas" in warning["message"]
    assert f"{2 * SIZE} bytes" in warning["message"]


@pytest.mark.parametrize(
    ("models", "shown"),
    [
        (["m-1", "m-1", "m-1"], ("m-1", 1)),
        (["m-1", "m-2", "m-1"], (None, 2)),
        ([None, None], (MODEL, 1)),
        ([None, "m-1"], (None, 2)),
        (["x" * 300], (None, 1)),
        (["a\u2028b"], (None, 1)),
    ],
)
@pytest.mark.parametrize("entrance", ["file", "inline"])
def test_the_model_of_a_batch_is_the_one_of_its_lines(
    client: Client,
    user: User,
    entrance: str,
    models: list[str | None],
    shown: tuple[str | None, int],
) -> None:
    messages = [{"role": "user", "content": "hi"}]
    bodies = [{"messages": messages, **({"model": model} if model else {})} for model in models]
    defaults = {"model": MODEL}
    if entrance == "file":
        lines = (json.dumps(line(f"id-{n}", body=body)) for n, body in enumerate(bodies))
        file = file_of(user, "\n".join(lines))
        batch = created(client, of_file(file.public_id, body=defaults))
        assert (batch["model"], batch["model_count"]) == (MODEL, None)
        assert read(batch)
    else:
        requests = [{"custom_id": f"id-{n}", "body": body} for n, body in enumerate(bodies)]
        batch = created(client, {"requests": requests, "body": defaults})
    for found in (
        client.get(f"/v1/batches/{batch['id']}").json(),
        client.get("/v1/batches").json()["data"][0],
    ):
        assert (found["model"], found["model_count"]) == shown
