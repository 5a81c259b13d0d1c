"""Official clients print the message of an error alone: it names the parameter and the value."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.api.calling import error_of
from tests.api.test_batches import BODY, deep, inline, line, of_file
from tests.configuring import configure
from tests.makers import MODEL

pytestmark = pytest.mark.django_db


def check_alone(error: dict[str, Any], says: str) -> None:
    message, param = error["message"], error["param"]
    assert param, message
    assert param in message
    assert says in message
    assert message.endswith((".", "?", ".)", ")"))
    assert message.splitlines() == [message]


BATCHES: list[tuple[dict[str, Any], str]] = [
    ({"endpoint": "/v1/nothing"}, "'/v1/nothing'. Supported values are: '/v1/chat/completions'"),
    ({"endpoint": 5}, "5"),
    ({"completion_window": "1w"}, "'1w'"),
    ({"completion_window": "31d"}, "at most 30 days"),
    ({"completion_window": 24}, "the number 24"),
    ({"metadata": {str(n): "x" for n in range(17)}}, "at most 16"),
    ({"metadata": {"k": "v" * 513}}, "at most 512 characters"),
    ({"metadata": {"k": 1}}, "expected a string, but got the number 1"),
    ({"metadata": []}, "expected an object, but got an empty array"),
    ({"batch_size": 0}, "0. Expected a number of at least 1"),
    ({"batch_size": 10_001}, "10001. Expected a number of at most 10000"),
    ({"batch_size": "5"}, "the string '5'"),
    ({"batch_size": True}, "the boolean true"),
    ({"batch_size": 1.5}, "the number 1.5"),
    ({"parallelism": 0}, "at least 1"),
    ({"priority": 10**30}, "at most 100"),
    ({"max_attempts": 0}, "at least 1"),
    ({"timeout_s": 0}, "above 0"),
    ({"timeout_s": None}, "null"),
    ({"schedule": "chaos"}, "'chaos'. Supported values are: 'rolling' and 'lockstep'"),
    ({"max_repair_attempts": -1}, "-1"),
    ({"max_cost": 0}, "0. Expected a number of at least"),
    ({"max_cost": 5}, "price"),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "60. Expected"),
    ({"output_expires_after": {"seconds": 3600}}, "Missing required parameter"),
    ({"output_expires_after": {"anchor": "end", "seconds": 3600}}, "'created_at'"),
    ({"provider": "nobody"}, "'nobody'"),
    ({"provider": ""}, "an empty string"),
    ({"idempotency_key": ""}, "an empty string"),
    ({"idempotency_key": "k" * 256}, "at most 255 characters"),
    ({"bath_size": 1}, "Unknown parameter: 'bath_size'. Did you mean 'batch_size'?"),
    ({"input_file_id": "file-1"}, "Give only one of"),
    ({"prompts": None}, "Missing required parameter"),
    ({"prompts": []}, "an empty array. Expected at least 1 item"),
    ({"prompts": "hi"}, "the string 'hi'"),
    ({"prompts": [1]}, "the number 1"),
    ({"body": []}, "expected an object"),
    ({"body": {}}, "Missing required parameter"),
    ({"body": {"model": 5}}, "the number 5"),
    ({"body": {"model": MODEL, "stream": True}}, "true. A batch does not support 'stream'"),
    ({"body": {"model": MODEL, "background": True}}, "true"),
    ({"body": {"model": MODEL, "x": deep(150)}}, "100 levels"),
    ({"body": {"model": MODEL, "x": float("nan")}}, "NaN is not JSON"),
    ({"metadata": {"k": "a\0"}}, "NUL"),
    ({"metadata": {"k": "\ud800"}}, "surrogate"),
    ({"prompts": ["fine", "a\udc00"]}, "surrogate"),
]


@pytest.mark.parametrize(("changes", "says"), BATCHES, ids=lambda value: str(value)[:60])
def test_a_batch_is_refused_by_name_and_value(
    client: Client, changes: dict[str, Any], says: str
) -> None:
    body = {**inline(), **changes}
    reply = client.post("/v1/batches", json.dumps(body), content_type="application/json")
    check_alone(error_of(reply, 400), says)


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"body": BODY}, "Missing required parameter: 'requests[1].custom_id'."),
        (line("b", method="GET"), "'GET'. Supported values are: 'POST'"),
        (line("b", url="/v1/embeddings"), "'/v1/embeddings'"),
        (line("b", body=[]), "expected an object, but got an empty array"),
        (line("b", body={"messages": BODY["messages"]}), "Name a model"),
        (line("b", body={**BODY, "stream": True}), "true. A batch does not support"),
        (line("b", body={**BODY, "messages": "hi"}), "the string 'hi'"),
        (line("a"), "'a' was used before"),
        (line("b" * 513), "at most 512 characters"),
        (line("b\0"), "NUL"),
        (line("b", body={**BODY, "x": deep(150)}), "100 levels"),
        (line("b", body={**BODY, "x": "y" * 2**20}), "MAX_LINE_BYTES"),
        ({"params": {}}, "'prompt' or 'messages'"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_request_in_the_body_is_refused_by_its_place(
    client: Client, settings: Any, request_: dict[str, Any], says: str
) -> None:
    configure(settings, MAX_LINE_BYTES=2**20)
    body = json.dumps({"requests": [line("a"), request_]})
    reply = client.post("/v1/batches", body, content_type="application/json")
    check_alone(error_of(reply, 400), says)


Ask = Callable[[Client], Any]


def as_json(path: str, body: Any) -> Ask:
    def ask(client: Client) -> Any:
        return client.post(path, json.dumps(body), content_type="application/json")

    return ask


def form(path: str, content: bytes | None = b"{}\n", field: str = "file", **fields: Any) -> Ask:
    def ask(client: Client) -> Any:
        files = {}
        if content is not None:
            files[field] = io.BytesIO(content)
            files[field].name = "a.jsonl"
        return client.post(path, {**fields, **files})

    return ask


def query(path: str) -> Ask:
    return lambda client: client.get(path)


UPLOAD = {"bytes": 6, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
HOOK = {"name": "a", "url": "https://example.com/", "event_types": ["batch.completed"]}

OTHERS: list[tuple[Ask, str]] = [
    (form("/v1/files", purpose="homework"), "'homework'. Supported values are: 'assistants'"),
    (form("/v1/files"), "Missing required parameter: 'purpose'."),
    (form("/v1/files", None, purpose="batch"), "Missing required parameter: 'file'."),
    (form("/v1/files", b"", purpose="batch"), "0 bytes"),
    (form("/v1/files", b"id,prompt\n", purpose="batch"), "this one begins with 'id,prompt'"),
    (form("/v1/files", b"%PDF-1.4", purpose="batch"), "a PDF document"),
    (form("/v1/files", purpose="batch", extra="1"), "Unknown parameter: 'extra'."),
    (form("/v1/files", purpose=["batch", "evals"]), "2 times"),
    (
        form(
            "/v1/files",
            b"{}\n",
            "file",
            **{"purpose": "batch", "expires_after[anchor]": "created_at"},
        ),
        "Missing required parameter: 'expires_after.seconds'.",
    ),
    (
        form(
            "/v1/files",
            b"{}\n",
            "file",
            **{
                "purpose": "batch",
                "expires_after[anchor]": "created_at",
                "expires_after[seconds]": "12",
            },
        ),
        "12'. Expected a number of at least 3600",
    ),
    (as_json("/v1/uploads", {**UPLOAD, "bytes": 0}), "0. Expected a number of at least 1"),
    (as_json("/v1/uploads", {**UPLOAD, "bytes": "6"}), "the string '6'"),
    (as_json("/v1/uploads", {**UPLOAD, "filename": ".."}), "'..'"),
    (as_json("/v1/uploads", {**UPLOAD, "purpose": "x"}), "'x'. Supported values are"),
    (as_json("/v1/uploads", {"bytes": 6}), "Missing required parameter"),
    (as_json("/v1/webhook_endpoints", {**HOOK, "url": "ftp://x"}), "'ftp://x'"),
    (as_json("/v1/webhook_endpoints", {**HOOK, "url": "https://10.0.0.1/"}), "https://10.0.0.1/"),
    (as_json("/v1/webhook_endpoints", {**HOOK, "name": ""}), "an empty string"),
    (as_json("/v1/webhook_endpoints", {**HOOK, "event_types": []}), "at least 1 item"),
    (as_json("/v1/webhook_endpoints", {**HOOK, "event_types": ["x"]}), "'batch.completed'"),
    (query("/v1/batches?limit=0"), "'0'. Expected a whole number from 1 to 100."),
    (query("/v1/batches?limit=many"), "'many'"),
    (query("/v1/batches?after=batch_x"), "'batch_x'"),
    (query("/v1/files?order=up"), "'up'. Supported values are: 'desc' and 'asc'."),
    (query("/v1/webhook_endpoints?limit=101"), "'101'"),
    (as_json("/v1/batches", of_file("file-1", endpoint="/chat")), "'/v1/chat'. Supported"),
]


@pytest.mark.parametrize(("ask", "says"), OTHERS, ids=[says for _, says in OTHERS])
def test_every_other_request_is_refused_by_name_and_value(
    client: Client, ask: Ask, says: str
) -> None:
    check_alone(error_of(ask(client), 400), says)


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ("status=maybe", "'maybe'. Supported values are: 'succeeded' and 'failed'."),
        ("kind=bad", "'bad'. Supported values are: 'rejected'"),
        ("limit=1001", "'1001'. Expected a whole number from 1 to 1000."),
        ("after=x", "'x'"),
    ],
)
def test_a_filter_of_results_is_refused_by_name_and_value(
    client: Client, filters: str, says: str
) -> None:
    body = json.dumps(inline(1))
    batch = client.post("/v1/batches", body, content_type="application/json").json()
    check_alone(error_of(client.get(f"/v1/batches/{batch['id']}/results?{filters}"), 400), says)


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_of_another_length_is_told_with_its_length(client: Client, key: str) -> None:
    body = json.dumps(inline(1))
    headers = {"Idempotency-Key": key}
    reply = client.post("/v1/batches", body, content_type="application/json", headers=headers)
    check_alone(error_of(reply, 400), f"has {len(key)}. Expected 1 to 255 characters")


def test_an_endpoint_without_its_version_is_the_one_with_it(client: Client) -> None:
    body = json.dumps(inline(1, endpoint="/chat/completions"))
    reply = client.post("/v1/batches", body, content_type="application/json")
    assert reply.json()["endpoint"] == "/v1/chat/completions"


def test_prompts_may_hold_what_a_file_may_hold(client: Client) -> None:
    body = json.dumps(inline(1, prompts=["a\0b"]))
    reply = client.post("/v1/batches", body, content_type="application/json")
    assert reply.status_code == 200, reply.content
