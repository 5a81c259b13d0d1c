"""The contract, read again: each row that is right has its id in the name of a test.

Rows that need every endpoint (D6, D7, D8, C2) are in tests/providers/test_endpoints.py and, with
the official client, in tests/processes/contract.py.
 D13, D14 (the price of a tier) and D19 stand in "Where we
differ" of docs/api.md.
"""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from batches.ending.finishing import finish_batch
from batches.intake.reading import read_input
from batches.models import Batch, Provider, Result
from batches.output.jsonl import ResultRow, file_line, write_results
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal
from tests.api.calling import client_of, error_of, user_named
from tests.configuring import configure
from tests.makers import MODEL, batch_of
from tests.receivers import receiving, url_of
from tests.scripted_server import Step, answer, chat

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parent.parent.parent
CHAT = "/v1/chat/completions"
SERVED_EVENTS = ("batch.completed", "batch.failed", "batch.expired", "batch.cancelled")
OTHER_EVENTS = (
    *(f"response.{end}" for end in ("completed", "failed", "incomplete", "cancelled")),
    *(f"eval.run.{end}" for end in ("succeeded", "failed", "canceled")),
    *(f"fine_tuning.job.{end}" for end in ("succeeded", "failed", "cancelled")),
    *("realtime.call.incoming", "video.completed", "video.failed", "safety.alert.created"),
    *("agent.environment.created", "agent.session.created", "batch.in_progress", "*", ""),
)


def post(client: Client, path: str, body: object = None) -> Any:
    return client.post(f"/v1/{path}", body or {}, content_type="application/json")


def endpoint_made(client: Client, url: str = "https://example.com/hook") -> dict[str, Any]:
    body = {"name": "a", "url": url, "event_types": ["batch.completed"]}
    reply = post(client, "webhook_endpoints", body)
    assert reply.status_code == 200, reply.content
    made: dict[str, Any] = reply.json()
    return made


def line(**changes: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    return {"custom_id": "a", "method": "POST", "url": CHAT, "body": body, **changes}


def read(client: Client, content: bytes) -> Batch:
    """A batch of a file with this content, after it was read."""
    upload = SimpleUploadedFile("in.jsonl", content)
    file = client.post("/v1/files", {"purpose": "batch", "file": upload}).json()
    made = post(client, "batches", {"input_file_id": file["id"], "endpoint": CHAT}).json()
    batch = Batch.objects.get(public_id=made["id"])
    read_input(batch.pk, stop=StopSignal())
    batch.refresh_from_db()
    return batch


def run(provider: Provider, *script: Step, prompts: int = 1, **changes: Any) -> Batch:
    with receiving(*script) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        batch = batch_of(provider, prompts, batch_size=1, **changes)
        run_slice(batch.pk)
    batch.refresh_from_db()
    return batch


def lines_of(batch: Batch) -> tuple[list[Any], list[Any]]:
    """The lines of the output file and of the error file."""
    output, errors = io.StringIO(), io.StringIO()
    write_results(batch, output, errors)
    good, bad = (file.getvalue().splitlines() for file in (output, errors))
    return [json.loads(text) for text in good], [json.loads(text) for text in bad]


# -- Webhooks


def test_d1_a_webhook_endpoint_has_its_fields_and_a_test_changes_none(client: Client) -> None:
    with receiving(answer()) as server:
        made = endpoint_made(client, url_of(server))
        secret = made.pop("signing_secret")
        path = f"webhook_endpoints/{made['id']}"
        tested = post(client, f"{path}/test", {"event_type": "batch.completed"})
        assert tested.status_code == 200, tested.content
    assert client.get(f"/v1/{path}").json() == made
    fields = {"id", "object", "created_at", "updated_at", "name", "url", "event_types"}
    assert set(made) == fields | {"signing_secret_hint", "disabled_at"}
    assert made["object"] == "webhook_endpoint"
    rotated = post(client, f"{path}/rotate_secret").json()
    assert rotated.pop("signing_secret") not in ("", secret)
    assert rotated["updated_at"] >= made["updated_at"]


def test_d2_a_list_of_webhook_endpoints_has_twenty_and_its_ends(
    client: Client, settings: Settings
) -> None:
    configure(settings, MAX_WEBHOOK_ENDPOINTS_PER_USER=30)
    ids = [endpoint_made(client)["id"] for _ in range(22)][::-1]
    page = client.get("/v1/webhook_endpoints").json()
    assert [one["id"] for one in page["data"]] == ids[:20]
    assert (page["object"], page["has_more"]) == ("list", True)
    assert (page["first_id"], page["last_id"]) == (ids[0], ids[19])
    # The client leaves out what is null.
    assert client.get("/v1/webhook_endpoints", {"after": ""}).json() == page
    rest = client.get("/v1/webhook_endpoints", {"after": ids[19]}).json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == (ids[20:], False)


@pytest.mark.parametrize("event", OTHER_EVENTS)
def test_d3_an_event_that_is_not_served_is_refused(client: Client, event: str) -> None:
    body = {"name": "a", "url": "https://example.com/hook", "event_types": [event]}
    error = error_of(post(client, "webhook_endpoints", body), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "event_types[0]")
    assert all(served in error["message"] for served in SERVED_EVENTS)
    made = endpoint_made(client)
    error_of(post(client, f"webhook_endpoints/{made['id']}/test", {"event_type": event}), 400)


def test_d3_the_events_that_are_served_are_listed(client: Client) -> None:
    assert client.get("/v1/webhook_event_types").json()["data"] == list(SERVED_EVENTS)


@pytest.mark.parametrize("status", [200, 202, 302, 404, 500])
def test_d4_d5_a_test_sends_a_whole_event_and_tells_the_status(client: Client, status: int) -> None:
    with receiving(answer(status=status)) as server:
        made = endpoint_made(client, url_of(server))
        path = f"webhook_endpoints/{made['id']}/test"
        told = post(client, path, {"event_type": "batch.failed"}).json()
    assert (told["success"], told["status_code"]) == (True, status)
    assert (told["object"], told["event_type"]) == ("webhook_endpoint.test", "batch.failed")
    [request] = server.requests
    event = json.loads(request.body)
    assert set(event) == {"id", "object", "created_at", "type", "data"}
    assert (event["object"], event["type"], set(event["data"])) == ("event", "batch.failed", {"id"})


# -- Lines


def test_d9_an_expired_line_has_the_words_of_the_hosted_api(provider: Provider) -> None:
    batch = batch_of(provider, 2)
    Batch.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert finish_batch(batch.pk)
    _, errors = lines_of(batch)
    for one in errors:
        assert one["id"].startswith("batch_req_")
        assert (one["response"], one["error"]) == (
            None,
            {
                "code": "batch_expired",
                "message": "This request could not be executed before the completion window "
                "expired.",
            },
        )
    assert len(errors) == 2


ENDS: dict[str, Step] = {
    "whole": answer(chat("hello")),
    "created": answer(chat("hello"), status=201),
    "refused": answer({"error": {"message": "no", "code": "bad"}}, status=400),
    "unprocessable": answer({"error": {"message": "temperature is out of range"}}, status=422),
    "paid and unreadable": answer(chat(choices=[])),
    "no JSON": answer(b"no JSON", status=200),
    "empty": answer(b"", status=200),
    "an error in a 200": answer({"error": {"message": "x", "type": "invalid_request_error"}}),
}


@pytest.mark.parametrize("step", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("attempts", [1, 2])
def test_d10_d11_a_row_is_good_exactly_if_it_has_no_error_and_a_status_of_success(
    provider: Provider, step: Step, attempts: int
) -> None:
    batch = run(provider, step, max_attempts=attempts)
    output, errors = lines_of(batch)
    assert len(output) + len(errors) == 1
    for one in output + errors:
        response = one["response"]
        status = response and response["status_code"]
        # The hosted API writes a status of 0 for what never got an answer.
        assert status is None or 100 <= status < 600
        is_good = one["error"] is None and status is not None and 200 <= status < 300
        assert is_good == (one in output)
        if status is not None and status >= 400:
            assert one["error"] is None
            assert response["body"]["error"]
    assert (len(output), len(errors)) == (batch.succeeded, batch.failed)


@pytest.mark.parametrize("status_code", [None, 0])
def test_d10_a_row_without_a_status_is_no_response(status_code: int | None) -> None:
    row = ResultRow(1, 0, "a", "failed", "network", "network", "it broke", status_code, "", "{}")
    shown = json.loads(file_line(row))
    assert shown["response"] is None
    assert shown["error"] == {"code": "network", "message": "it broke"}


@pytest.mark.parametrize(
    ("texts", "has"),
    [
        (["a", "b"], (True, False)),
        (["[simulate: status=400]"], (False, True)),
        (["a", "[simulate: status=400]"], (True, True)),
    ],
)
def test_d12_there_is_a_file_exactly_for_what_has_lines_until_it_is_deleted(
    client: Client, texts: list[str], has: tuple[bool, bool]
) -> None:
    made = post(client, "batches", {"prompts": texts, "body": {"model": MODEL}}).json()
    assert run_slice(Batch.objects.get(public_id=made["id"]).pk).ended
    shown = client.get(f"/v1/batches/{made['id']}").json()
    files = (shown["output_file_id"], shown["error_file_id"])
    assert tuple(map(bool, files)) == has
    for file_id in filter(None, files):
        assert client.delete(f"/v1/files/{file_id}").status_code == 200
        error_of(client.get(f"/v1/files/{file_id}/content"), 404)
    after = client.get(f"/v1/batches/{made['id']}").json()
    assert (after["status"], after["request_counts"]) == ("completed", shown["request_counts"])
    assert client.delete(f"/v1/batches/{made['id']}").status_code == 200
    error_of(client.get(f"/v1/batches/{made['id']}"), 404)


@pytest.mark.parametrize("tier", ["auto", "default", "flex", "scale", "priority", "fast"])
def test_d14_a_service_tier_is_passed_on_and_the_tier_that_was_used_is_kept(
    provider: Provider, tier: str
) -> None:
    with receiving(answer({**chat("hello"), "service_tier": "default"})) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        batch = batch_of(provider, 1, defaults={"model": MODEL, "service_tier": tier})
        run_slice(batch.pk)
    [request] = server.requests
    assert json.loads(request.body)["service_tier"] == tier
    [good], _ = lines_of(batch)
    assert good["response"]["body"]["service_tier"] == "default"


def test_d14_a_tier_without_capacity_is_asked_again(provider: Provider) -> None:
    message = {"message": "Resource unavailable. Please try again later.", "code": "unavailable"}
    busy = answer({"error": message}, status=429, retry_after="0")
    batch = run(provider, busy, answer(chat("hello")))
    assert (batch.succeeded, batch.failed) == (1, 0)


def test_d15_the_usage_of_a_batch_has_the_rows_of_both_files_and_the_thoughts(
    provider: Provider,
) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 40,
        "total_tokens": 140,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    good, useless = chat("hello", usage=usage), chat(choices=[], usage=usage)
    batch = run(provider, answer(good), answer(useless), prompts=2)
    assert (batch.succeeded, batch.failed) == (1, 1)
    owner = user_named()
    Batch.objects.update(owner=owner)
    shown = client_of(owner).get(f"/v1/batches/{batch.public_id}").json()
    assert shown["usage"] == {
        "input_tokens": 200,
        "input_tokens_details": {"cached_tokens": 14},
        "output_tokens": 80,
        "output_tokens_details": {"reasoning_tokens": 60},
        "total_tokens": 280,
    }


def test_d16_one_odd_reply_leaves_every_line_readable(provider: Provider) -> None:
    odd = [
        answer(b'{"choices": [{"message": {"content": "cut'),
        answer(chat("a\u2028b\u2029c\u0085d\x1ce")),
        answer(b"\xff\xfe\x00", status=400),
        answer(chat("last")),
    ]
    batch = run(provider, *odd, prompts=4, max_attempts=1)
    output, errors = io.StringIO(), io.StringIO()
    write_results(batch, output, errors)
    texts = [text for file in (output, errors) for text in file.getvalue().split("\n") if text]
    assert len(texts) == 4
    assert {json.loads(text)["custom_id"] for text in texts} == {f"line-{n}" for n in range(1, 5)}


def test_d16_one_line_that_is_no_json_is_named(client: Client) -> None:
    content = json.dumps(line()).encode() + b'\n{"custom_id": "b", \n'
    batch = read(client, content)
    assert batch.status == "failed"
    assert [(one["line"], one["code"]) for one in batch.errors] == [(2, "invalid_json_line")]


def test_d17_a_custom_id_that_comes_twice_is_refused(client: Client) -> None:
    batch = read(client, (json.dumps(line()) + "\n").encode() * 2)
    assert batch.status == "failed"
    [fault] = batch.errors
    assert (fault["line"], fault["code"]) == (2, "duplicate_custom_id")
    assert fault["param"] == "custom_id"
    assert not Result.objects.exists()


# -- Corrections


def test_c1_the_official_client_is_pinned_in_its_newest_and_its_older_lines() -> None:
    assert _pin_of("dev") >= (3, 57, 0)
    assert (_pin_of("openai-2")[0], _pin_of("openai-1")[0]) == (2, 1)


def _pin_of(name: str) -> tuple[int, ...]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    [found] = [one for one in text.splitlines() if one.startswith("openai==")]
    return tuple(map(int, found.split()[0].removeprefix("openai==").split(".")))


# The codes that the hosted API gives to what is wrong with an input.
HOSTED_CODES = frozenset(
    {
        *("invalid_json_line", "missing_required_parameter", "streaming_unsupported"),
        *("invalid_url", "duplicate_custom_id", "model_not_found", "invalid_request"),
        *("empty_file", "too_many_tasks", "invalid_value", "invalid_type"),
    }
)


def faulty_lines() -> Iterator[tuple[str, str]]:
    body = line()["body"]
    yield "{", "invalid_json_line"
    for name in ("custom_id", "method", "url", "body"):
        without = {key: value for key, value in line().items() if key != name}
        yield json.dumps(without), "missing_required_parameter"
    yield json.dumps(line(body={**body, "stream": True})), "streaming_unsupported"
    yield json.dumps(line(url="/v1/embeddings")), "invalid_url"
    yield json.dumps(line(body={**body, "model": "unknown-model"})), "model_not_found"
    yield json.dumps(line(method="GET")), "invalid_value"


@pytest.mark.parametrize(("text", "code"), list(faulty_lines()))
def test_c5_what_is_wrong_with_a_line_has_the_code_of_the_hosted_api(
    client: Client, provider: Provider, text: str, code: str
) -> None:
    provider.model_names = [MODEL]
    provider.save()
    batch = read(client, json.dumps(line(custom_id="good")).encode() + b"\n" + text.encode())
    assert batch.status == "failed"
    assert [(one["line"], one["code"]) for one in batch.errors] == [(2, code)]
    assert code in HOSTED_CODES


DIFFERENCES = ("D7", "D13", "D14", "D19", "C4")


@pytest.mark.parametrize("row", DIFFERENCES)
def test_what_is_not_as_hosted_stands_where_we_differ(row: str) -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    _, _, table = text.partition("## Where we differ from the hosted API")
    words = {
        "D7": "videos",
        "D13": "queued prompt tokens",
        "D14": "service_tier",
        "D19": "zero data retention",
        "C4": "token_limit_exceeded",
    }
    assert words[row] in table
