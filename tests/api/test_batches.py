"""Batches over the API: what makes one, what is refused and where it says so, who sees it."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from batches.intake.reading import read_input
from batches.models import Batch, Chunk, File, Prompt, Provider, Result
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal
from tests.api.calling import client_of, error_of, user_named
from tests.configuring import configure
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hello"}]
BODY = {"model": MODEL, "messages": MESSAGES}
PATIENCE_S = 30.0


def post(client: Client, body: Mapping[str, Any], **headers: str) -> Any:
    return client.post(
        "/v1/batches", json.dumps(body), content_type="application/json", headers=headers
    )


def created(client: Client, body: Mapping[str, Any], **headers: str) -> dict[str, Any]:
    reply = post(client, body, **headers)
    assert reply.status_code == 200, reply.content
    batch: dict[str, Any] = reply.json()
    return batch


def inline(count: int = 2, **more: Any) -> dict[str, Any]:
    return {"prompts": [f"prompt {n}" for n in range(count)], "body": {"model": MODEL}, **more}


def line(custom_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": BODY, **changes}


def file_of(user: User, content: str | bytes, *, purpose: str = "batch") -> File:
    raw = content.encode() if isinstance(content, str) else content
    file = File(owner=user, purpose=purpose, filename="in.jsonl", bytes=len(raw))
    file.content.save("in.jsonl", ContentFile(raw), save=False)
    file.save()
    return file


def of_file(file_id: str, **more: Any) -> dict[str, Any]:
    return {
        "input_file_id": file_id,
        "endpoint": CHAT,
        "completion_window": "24h",
        **more,
    }


def row(batch: Mapping[str, Any]) -> Batch:
    return Batch.objects.get(public_id=batch["id"])


def read(batch: Mapping[str, Any]) -> bool:
    return read_input(row(batch).pk, stop=StopSignal())


def run(batch: Mapping[str, Any]) -> None:
    assert run_slice(row(batch).pk).ended


def get(client: Client, path: str) -> dict[str, Any]:
    reply = client.get(f"/v1/{path}")
    assert reply.status_code == 200, reply.content
    answer: dict[str, Any] = reply.json()
    return answer


def lines_of(client: Client, file_id: str) -> list[dict[str, Any]]:
    content = b"".join(client.get(f"/v1/files/{file_id}/content").streaming_content)  # type: ignore[attr-defined]  # of a streamed answer
    return [json.loads(text) for text in content.splitlines()]


# -- what makes a batch


def test_prompts_in_the_body_make_a_batch_that_is_ready_at_once(client: Client) -> None:
    batch = created(client, inline(3, metadata={"a": "b"}, batch_size=2, priority=-1))
    assert batch["status"] == "in_progress"
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    assert (batch["input_file_id"], batch["completion_window"]) == (None, None)
    assert (batch["metadata"], batch["batch_size"], batch["priority"]) == ({"a": "b"}, 2, -1)
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    assert (batch["provider"], batch["endpoint"]) == ("simulated", CHAT)


def test_requests_in_the_body_need_not_repeat_the_endpoint(client: Client) -> None:
    requests = [{"custom_id": "x", "body": {"messages": MESSAGES}}, line("y")]
    batch = created(client, {"requests": requests, "body": {"model": MODEL}})
    run(batch)
    page = get(client, f"batches/{batch['id']}/results")
    assert [item["custom_id"] for item in page["data"]] == ["x", "y"]
    assert [item["status"] for item in page["data"]] == ["succeeded", "succeeded"]


def test_a_file_makes_a_batch_that_is_validating_until_it_is_read(
    client: Client, user: User
) -> None:
    file = file_of(user, "\n".join(json.dumps(line(f"id-{n}")) for n in range(5)))
    batch = created(client, of_file(file.public_id))
    assert batch["status"] == "validating"
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (batch["input_file_id"], batch["completion_window"]) == (file.public_id, "24h")
    assert batch["expires_at"] - batch["created_at"] in range(24 * 3600 - 5, 24 * 3600 + 6)
    assert read(batch)
    ready = get(client, f"batches/{batch['id']}")
    assert (ready["status"], ready["request_counts"]["total"]) == ("in_progress", 5)


def test_the_window_and_the_expiry_are_kept(client: Client) -> None:
    expiry = {"anchor": "created_at", "seconds": 3600}
    batch = created(client, inline(1, completion_window="7d", output_expires_after=expiry))
    assert batch["completion_window"] == "168h"
    run(batch)
    ended = get(client, f"batches/{batch['id']}")
    file = get(client, f"files/{ended['output_file_id']}")
    assert file["expires_at"] - file["created_at"] == 3600


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"endpoint": "/v1/nothing"}, "invalid_value", "endpoint"),
        ({"endpoint": None}, "invalid_value", "endpoint"),
        ({"completion_window": "1w"}, "invalid_value", "completion_window"),
        ({"completion_window": "0h"}, "invalid_value", "completion_window"),
        ({"completion_window": "31d"}, "invalid_value", "completion_window"),
        ({"completion_window": "²h"}, "invalid_value", "completion_window"),
        ({"completion_window": ""}, "invalid_value", "completion_window"),
        ({"completion_window": 24}, "invalid_value", "completion_window"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "invalid_value", "metadata"),
        ({"metadata": {"k": "v" * 513}}, "invalid_value", "metadata.k"),
        ({"metadata": {"k": 1}}, "invalid_value", "metadata.k"),
        ({"metadata": []}, "invalid_value", "metadata"),
        ({"batch_size": 0}, "invalid_value", "batch_size"),
        ({"batch_size": 10_001}, "invalid_value", "batch_size"),
        ({"batch_size": "5"}, "invalid_value", "batch_size"),
        ({"batch_size": True}, "invalid_value", "batch_size"),
        ({"parallelism": 0}, "invalid_value", "parallelism"),
        ({"priority": 10**30}, "invalid_value", "priority"),
        ({"max_attempts": 0}, "invalid_value", "max_attempts"),
        ({"timeout_s": 0}, "invalid_value", "timeout_s"),
        ({"schedule": "chaos"}, "invalid_value", "schedule"),
        ({"max_repair_attempts": -1}, "invalid_value", "max_repair_attempts"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
            "invalid_value",
            "output_expires_after.seconds",
        ),
        (
            {"output_expires_after": {"seconds": 3600}},
            "missing_required_parameter",
            "output_expires_after.anchor",
        ),
        ({"provider": "nobody"}, "provider_not_found", "provider"),
        ({"provider": ""}, "invalid_value", "provider"),
        ({"idempotency_key": ""}, "invalid_value", "idempotency_key"),
        ({"owner": 1}, "unknown_parameter", "owner"),
        ({"status": "completed"}, "unknown_parameter", "status"),
        ({"base_url": "http://127.0.0.1/"}, "unknown_parameter", "base_url"),
        ({"input_file_id": "file-1"}, "invalid_value", "prompts"),
        ({"requests": [line()]}, "invalid_value", "prompts"),
        ({"prompts": None}, "missing_required_parameter", "input_file_id"),
        ({"prompts": []}, "invalid_value", "prompts"),
        ({"prompts": [1]}, "invalid_value", "prompts[0]"),
        ({"body": {}}, "missing_required_parameter", "body.model"),
        ({"body": {"model": 5}}, "missing_required_parameter", "body.model"),
        ({"body": {"model": MODEL, "stream": True}}, "streaming_unsupported", "body.stream"),
        ({"body": {"model": MODEL, "x": [[[]]] * 10**3}}, None, None),
    ],
)
def test_bad_options_are_refused_by_name(
    client: Client, changes: dict[str, Any], code: str | None, param: str | None
) -> None:
    reply = post(client, {**inline(), **changes})
    if code is None:
        assert reply.status_code == 200
        return
    error = error_of(reply, 400)
    assert (error["code"], error["param"]) == (code, param)
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"prompts": []},
            "Invalid value for 'prompts': an empty array. Expected at least 1 item.",
        ),
        (
            {"metadata": {str(n): "x" for n in range(17)}},
            "Invalid value for 'metadata': an object of 17 items. Expected at most 16 items.",
        ),
    ],
)
def test_how_many_there_may_be_is_said_in_plain_words(
    client: Client, changes: dict[str, Any], message: str
) -> None:
    assert error_of(post(client, {**inline(), **changes}), 400)["message"] == message


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({**inline(), "body": {"model": MODEL, "x": deep(150)}}),
        '{"prompts": ["a"], "body": {"model": "m", "n": %s}}' % ("9" * 5000),
        '{"prompts": ["a"], "body": {"model": "m", "n": 1e999}}',
        '{"prompts": ["a"], "body": {"model": "m", "n": NaN}}',
        '{"prompts": ["a\\ud800"], "body": {"model": "m"}}',
        '{"prompts": ["a"], "metadata": {"k\\u0000": "v"}, "body": {"model": "m"}}',
    ],
)
def test_what_could_not_be_stored_or_read_again_is_refused(client: Client, body: str) -> None:
    reply = client.post("/v1/batches", body, content_type="application/json")
    assert error_of(reply, 400)["type"] == "invalid_request_error"
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        ({"body": BODY}, "missing_required_parameter", "requests[1].custom_id"),
        (line("b", method="GET"), "invalid_value", "requests[1].method"),
        (line("b", url="/v1/embeddings"), "invalid_url", "requests[1].url"),
        (line("b", body=[]), "invalid_value", "requests[1].body"),
        (
            line("b", body={"messages": MESSAGES}),
            "missing_required_parameter",
            "requests[1].body.model",
        ),
        (
            line("b", body={**BODY, "stream": True}),
            "streaming_unsupported",
            "requests[1].body.stream",
        ),
        (line("a"), "duplicate_custom_id", "requests[1].custom_id"),
        (line("b" * 513), "invalid_value", "requests[1].custom_id"),
        (line("b", body={**BODY, "x": deep(150)}), "invalid_json_line", "requests[1]"),
        (line("b", body={**BODY, "x": "y" * 2**20}), "invalid_line", "requests[1].body"),
    ],
)
def test_a_bad_request_in_the_body_is_named_by_its_place(
    client: Client, settings: Any, request_: dict[str, Any], code: str, param: str
) -> None:
    configure(settings, MAX_LINE_BYTES=2**20)
    error = error_of(post(client, {"requests": [line("a"), request_]}), 400)
    assert (error["code"], error["param"]) == (code, param)
    assert not Batch.objects.exists()
    assert not Prompt.objects.exists()
    assert not File.objects.exists()


def test_more_prompts_than_a_request_may_bring_are_refused(client: Client, settings: Any) -> None:
    configure(settings, MAX_INLINE_PROMPTS=3)
    error = error_of(post(client, inline(4)), 400)
    assert (error["code"], error["param"]) == ("too_many_tasks", "prompts")
    assert "MAX_INLINE_PROMPTS" in error["message"]
    assert created(client, inline(3))["request_counts"]["total"] == 3
    configure(settings, MAX_PROMPTS_PER_BATCH=2)
    error = error_of(post(client, {"requests": [line(str(n)) for n in range(3)]}), 400)
    assert (error["code"], error["param"]) == ("too_many_tasks", "requests")
    assert Batch.objects.count() == 1


# -- which provider


def test_a_batch_goes_to_the_provider_that_has_its_model(client: Client) -> None:
    Provider.objects.create(name="other", base_url="http://localhost/v1", model_names=["m-2"])
    assert (
        created(client, inline(1, provider="other", body={"model": "m-2"}))["provider"] == "other"
    )
    assert created(client, inline(1, body={"model": "m-2"}))["provider"] == "other"
    request = line("a", body={**BODY, "model": "m-2"})
    assert created(client, {"requests": [request]})["provider"] == "other"
    assert error_of(post(client, inline(1)), 400)["code"] == "provider_required"
    Provider.objects.filter(name="simulated").update(is_default=True)
    assert created(client, inline(1))["provider"] == "simulated"


def test_a_file_goes_to_the_provider_that_has_the_model_of_its_first_line(
    client: Client, user: User
) -> None:
    Provider.objects.create(name="other", base_url="http://localhost/v1", model_names=["m-2"])
    file = file_of(user, "\ufeff" + json.dumps(line(body={**BODY, "model": "m-2"})))
    assert created(client, of_file(file.public_id))["provider"] == "other"
    unclear = file_of(user, "what is this")
    assert error_of(post(client, of_file(unclear.public_id)), 400)["code"] == "provider_required"


@pytest.mark.parametrize("place", ["line", "body"])
@pytest.mark.parametrize("is_default", [False, True])
def test_a_model_that_no_provider_takes_fails_the_batch_of_a_file(
    client: Client, user: User, place: str, *, is_default: bool
) -> None:
    Provider.objects.update(model_names=["m-1"], is_default=is_default)
    Provider.objects.create(name="other", base_url="http://localhost/v1", model_names=["m-2"])
    body = {"messages": MESSAGES} if place == "body" else {**BODY, "model": "m-3"}
    file = file_of(user, json.dumps(line(body=body)))
    more = {"body": {"model": "m-3"}} if place == "body" else {}
    batch = created(client, of_file(file.public_id, **more))
    if is_default:
        read(batch)
    found = get(client, f"batches/{batch['id']}")
    assert found["status"] == "failed"
    [error] = found["errors"]["data"]
    assert (error["code"], error["param"]) == ("model_not_found", "body.model")
    assert error["line"] == (1 if place == "line" or is_default else None)
    assert "'m-3'" in error["message"]
    assert found["request_counts"] == {"total": 0, "completed": 0, "failed": 0}


@pytest.mark.parametrize("endpoint", ["/v1/embeddings", "/v1/responses"])
@pytest.mark.parametrize("entrance", ["file", "inline"])
def test_an_empty_input_fails_its_row_and_no_other(
    client: Client, user: User, endpoint: str, entrance: str
) -> None:
    inputs: list[Any] = ["fine", "", [], "fine too", ["", "x"], [[]]]
    lines = [
        line(f"id-{n}", url=endpoint, body={"model": MODEL, "input": text})
        for n, text in enumerate(inputs)
    ]
    if entrance == "file":
        file = file_of(user, "\n".join(map(json.dumps, lines)))
        batch = created(client, of_file(file.public_id, endpoint=endpoint))
        assert read(batch)
    else:
        batch = created(client, {"requests": lines, "endpoint": endpoint})
    run(batch)
    found = get(client, f"batches/{batch['id']}")
    assert found["status"] == "completed"
    assert found["request_counts"] == {"total": 6, "completed": 2, "failed": 4}
    for row_ in lines_of(client, found["error_file_id"]):
        assert row_["response"] is None
        assert "body.input" in row_["error"]["message"]
        assert "empty" in row_["error"]["message"]


@pytest.mark.parametrize("asked", [{}, {"provider": "nobody"}])
def test_only_staff_are_told_which_providers_there_are(
    client: Client, asked: dict[str, Any]
) -> None:
    """The name of one that the command line made is its address with the variable of its key."""
    private = "http://10.0.0.5/v1 (SOME_KEY)"
    Provider.objects.create(name=private, base_url="http://10.0.0.5/v1")
    message = error_of(post(client, inline(1, **asked)), 400)["message"]
    assert "ask staff" in message
    assert "GET /v1/models" in message
    assert "10.0.0.5" not in message
    staff = client_of(user_named(is_staff=True))
    assert f"{private}, simulated." in error_of(post(staff, inline(1, **asked)), 400)["message"]


def test_a_model_that_the_provider_does_not_have_is_refused(client: Client) -> None:
    Provider.objects.update(model_names=["m-1"])
    error = error_of(post(client, {"requests": [line()]}), 400)
    assert (error["code"], error["param"]) == ("model_not_found", "requests[0].body.model")


def test_without_any_provider_the_remedy_is_named(user: User) -> None:
    client = client_of(user)
    error = error_of(post(client, inline()), 400)
    assert error["code"] == "provider_required"
    assert "add one" in error["message"]
    assert error_of(post(client, of_file("file-x")), 400)["code"] == "provider_required"


# -- what validation finds


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        ("{", [("invalid_json_line", 1, None)]),
        ("nonsense\n[]\n", [("invalid_json_line", 1, None), ("invalid_json_line", 2, "line")]),
        ("\n \n", [("empty_file", 1, None)]),
        (
            json.dumps({"body": BODY}),
            [
                ("missing_required_parameter", 1, "custom_id"),
                ("missing_required_parameter", 1, "method"),
                ("missing_required_parameter", 1, "url"),
            ],
        ),
        (
            json.dumps({"custom_id": "a", "prompt": "hi", "model": MODEL}),
            [
                ("missing_required_parameter", 1, "method"),
                ("missing_required_parameter", 1, "url"),
                ("missing_required_parameter", 1, "body"),
            ],
        ),
        (
            json.dumps(line(body={**BODY, "stream": True})),
            [("streaming_unsupported", 1, "body.stream")],
        ),
        (json.dumps(line(url="/v1/embeddings")), [("invalid_url", 1, "url")]),
        (
            f"{json.dumps(line())}\n{json.dumps(line('b'))}\n{json.dumps(line())}",
            [("duplicate_custom_id", 3, "custom_id")],
        ),
        (
            json.dumps(line(body={**BODY, "model": "unknown"})),
            [("model_not_found", 1, "body.model")],
        ),
        (json.dumps(line(url="\ud800\x00")), [("invalid_url", 1, "url")]),
    ],
)
def test_a_file_that_is_wrong_fails_the_batch_and_says_where(
    client: Client, user: User, content: str, errors: list[tuple[str, int, str | None]]
) -> None:
    Provider.objects.update(model_names=[MODEL])
    batch = created(client, of_file(file_of(user, content).public_id))
    assert not read(batch)
    failed = get(client, f"batches/{batch['id']}")
    assert failed["status"] == "failed"
    assert failed["failed_at"]
    found = failed["errors"]["data"]
    assert [(error["code"], error["line"], error["param"]) for error in found] == errors
    assert failed["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (failed["output_file_id"], failed["error_file_id"]) == (None, None)
    assert not Prompt.objects.exists()
    assert not Chunk.objects.exists()


def test_a_line_that_is_no_json_is_refused_in_the_words_of_the_hosted_api(
    client: Client, user: User
) -> None:
    batch = created(client, of_file(file_of(user, "{,}").public_id))
    read(batch)
    [error] = get(client, f"batches/{batch['id']}")["errors"]["data"]
    assert error["message"] == "This line is not parseable as valid JSON."


def test_more_lines_than_there_may_be_fail_the_batch(
    client: Client, user: User, settings: Any
) -> None:
    configure(settings, MAX_PROMPTS_PER_BATCH=2)
    content = "\n".join(json.dumps(line(str(n))) for n in range(3))
    batch = created(client, of_file(file_of(user, content).public_id))
    read(batch)
    [error] = get(client, f"batches/{batch['id']}")["errors"]["data"]
    assert (error["code"], error["line"]) == ("too_many_tasks", 3)
    assert not Prompt.objects.exists()


def test_a_byte_order_mark_is_accepted(client: Client, user: User) -> None:
    file = file_of(user, b"\xef\xbb\xbf" + json.dumps(line()).encode())
    assert read(created(client, of_file(file.public_id)))


def test_a_file_that_is_not_there_or_not_mine_or_for_something_else_fails_the_batch(
    client: Client, user: User
) -> None:
    other = file_of(user_named(), json.dumps(line()))
    wrong = file_of(user, json.dumps(line()), purpose="assistants")
    for file_id in ("file-unknown", other.public_id, wrong.public_id):
        batch = created(client, of_file(file_id))
        assert (batch["status"], batch["input_file_id"]) == ("failed", file_id)
        [error] = batch["errors"]["data"]
        assert (error["code"], error["param"]) == ("invalid_request", "file_id")


# -- the life of a batch


def test_a_batch_ends_with_its_figures_and_files(client: Client) -> None:
    prompts = ["a", "[simulate: status=400] b", "c"]
    batch = created(client, inline(prompts=prompts))
    run(batch)
    ended = get(client, f"batches/{batch['id']}")
    assert (ended["status"], ended["completed_at"] is None) == ("completed", False)
    assert ended["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert ended["usage"]["total_tokens"] > 0
    assert ended["failures"] == {"request": 1}
    timing = ended["timing"]
    assert timing["p50_s"] <= timing["p95_s"] <= timing["p99_s"]
    assert timing["eta_s"] is None
    output, errors = (lines_of(client, ended[f"{name}_file_id"]) for name in ("output", "error"))
    assert [item["custom_id"] for item in output] == ["line-1", "line-3"]
    assert [item["custom_id"] for item in errors] == ["line-2"]
    for name in ("output", "error"):
        file = get(client, f"files/{ended[f'{name}_file_id']}")
        content = client.get(f"/v1/files/{file['id']}/content")
        assert len(b"".join(content.streaming_content)) == file["bytes"]  # type: ignore[attr-defined]  # of a streamed answer
        assert (file["purpose"], file["status"]) == ("batch_output", "processed")
        assert file["filename"] == f"{batch['id']}_{name}.jsonl"


def test_a_file_without_lines_does_not_exist(client: Client) -> None:
    good, bad = (
        created(client, inline(1)),
        created(client, inline(prompts=["[simulate: status=400]"])),
    )
    assert get(client, "files")["data"] == []
    for batch in (good, bad):
        run(batch)
    good, bad = (get(client, f"batches/{batch['id']}") for batch in (good, bad))
    assert good["output_file_id"]
    assert good["error_file_id"] is None
    assert (bad["status"], bad["output_file_id"]) == ("completed", None)
    assert bad["error_file_id"]
    assert bad["request_counts"]["failed"] == 1
    shown = {file["id"] for file in get(client, "files")["data"]}
    assert shown == {good["output_file_id"], bad["error_file_id"]}
    for hidden in File.objects.exclude(public_id__in=shown):
        assert client.get(f"/v1/files/{hidden.public_id}").status_code == 404


def test_a_retry_runs_what_failed_and_renews_the_files(client: Client) -> None:
    batch = created(client, inline(prompts=["a", "[simulate: status=400 times=1] b"]))
    run(batch)
    before = get(client, f"batches/{batch['id']}")
    reply = client.post(f"/v1/batches/{batch['id']}/retry")
    assert reply.status_code == 200
    again = reply.json()
    assert (again["status"], again["failures"]) == ("in_progress", None)
    assert (again["output_file_id"], again["error_file_id"]) == (before["output_file_id"], None)
    incomplete = client.get(f"/v1/files/{again['output_file_id']}/content")
    assert incomplete.headers["x-incomplete"] == "true"
    assert len(b"".join(incomplete.streaming_content).splitlines()) == 1  # type: ignore[attr-defined]  # of a streamed answer
    run(batch)
    ended = get(client, f"batches/{batch['id']}")
    assert ended["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    assert ended["error_file_id"] is None
    assert len(lines_of(client, ended["output_file_id"])) == 2
    error = error_of(client.post(f"/v1/batches/{batch['id']}/retry"), 409)
    assert "no prompt" in error["message"]


def test_cancel_keeps_what_is_done_and_closes_the_rest(client: Client) -> None:
    batch = created(client, inline(3))
    reply = client.post(f"/v1/batches/{batch['id']}/cancel")
    assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
    again = client.post(f"/v1/batches/{batch['id']}/cancel")
    assert (again.status_code, again.json()) == (200, reply.json())
    assert reply.json()["request_counts"] == {"total": 3, "completed": 0, "failed": 0}
    codes = [item["error"]["code"] for item in lines_of(client, reply.json()["error_file_id"])]
    assert codes == ["batch_cancelled"] * 3


def test_a_batch_that_ended_cannot_be_cancelled(client: Client) -> None:
    batch = created(client, inline(1))
    run(batch)
    error = error_of(client.post(f"/v1/batches/{batch['id']}/cancel"), 409)
    assert error["message"] == "Cannot cancel a batch with status 'completed'."
    assert error["type"] == "invalid_request_error"


def test_a_deleted_batch_is_gone_with_its_files(client: Client) -> None:
    batch = created(client, inline(1, idempotency_key="k"))
    assert (
        "cancel it first" in error_of(client.delete(f"/v1/batches/{batch['id']}"), 409)["message"]
    )
    run(batch)
    reply = client.delete(f"/v1/batches/{batch['id']}")
    assert reply.json() == {"id": batch["id"], "object": "batch", "deleted": True}
    error_of(client.get(f"/v1/batches/{batch['id']}"), 404)
    for model in (Batch, Prompt, Result, Chunk, File):
        assert not model._default_manager.exists()
    assert created(client, inline(1, idempotency_key="k"))["id"] != batch["id"]


# -- idempotency


def test_the_same_key_and_body_give_the_same_batch(client: Client) -> None:
    first = created(client, inline(1), **{"Idempotency-Key": "k"})
    assert created(client, inline(1), **{"Idempotency-Key": "k"})["id"] == first["id"]
    assert created(client, inline(1, idempotency_key="k"))["id"] == first["id"]
    assert created(client, inline(1))["id"] != first["id"]
    error = error_of(post(client, inline(2), **{"Idempotency-Key": "k"}), 409)
    assert error["code"] == "idempotency_key_reused"
    assert Batch.objects.count() == 2


def test_the_key_of_another_user_means_nothing(client: Client) -> None:
    first = created(client, inline(1, idempotency_key="k"))
    other = client_of()
    assert created(other, inline(2, idempotency_key="k"))["id"] != first["id"]


def test_two_keys_at_once_are_refused(client: Client) -> None:
    body = inline(1, idempotency_key="k")
    assert error_of(post(client, body, **{"Idempotency-Key": "other"}), 400)["code"]
    assert created(client, body, **{"Idempotency-Key": "k"})
    for key in ("", "k" * 256):
        error_of(post(client, inline(1), **{"Idempotency-Key": key}), 400)


def test_a_repetition_without_a_key_is_another_batch(client: Client) -> None:
    first = created(client, inline(1))
    repeated = {"x-stainless-retry-count": "1"}
    assert created(client, inline(1), **repeated)["id"] != first["id"]


def test_a_key_of_a_request_that_was_refused_is_free(client: Client) -> None:
    error_of(post(client, {"requests": [line(), line()], "idempotency_key": "k"}), 400)
    assert created(client, {"requests": [line()], "idempotency_key": "k"})


def test_what_a_create_answers_is_read_at_one_moment(client: Client) -> None:
    """A quick worker may end the batch, and remove a file without lines, before it is shown."""
    for _ in ("made", "found"):
        with CaptureQueriesContext(connection) as queries:
            created(client, inline(1, idempotency_key="k"))
        alone = [
            query["sql"] for query in queries if query["sql"].startswith('SELECT "batches_file')
        ]
        assert alone == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [{}, {"idempotency_key": "k"}])
def test_nothing_waits_for_the_look_at_prompts(client: Client, key: dict[str, str]) -> None:
    with CaptureQueriesContext(connection) as queries:
        error_of(post(client, {"requests": [line(), line("b", method="GET")], **key}), 400)
    # A transaction would keep all others from writing to SQLite.
    assert [query["sql"] for query in queries if query["sql"].startswith("BEGIN")] == []


@pytest.mark.django_db(transaction=True)
def test_of_ten_at_once_with_one_key_one_makes_the_batch(client: Client) -> None:
    start = threading.Barrier(10)
    ids: list[str] = []

    def ask() -> None:
        start.wait(PATIENCE_S)
        try:
            ids.append(created(client, inline(50, idempotency_key="k"))["id"])
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(ids) == 10
    assert len(set(ids)) == 1
    assert Batch.objects.count() == 1
    assert Prompt.objects.count() == 50


# -- who sees what

REQUESTS = [
    ("get", ""),
    ("delete", ""),
    ("post", "/cancel"),
    ("post", "/retry"),
    ("post", "/resume"),
    ("get", "/results"),
    ("get", "/events"),
]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_batch_of_somebody_else_is_not_there(client: Client, method: str, path: str) -> None:
    batch = created(client, inline(1))
    before = Batch.objects.values().get()
    stranger = client_of()
    refused = getattr(stranger, method)(f"/v1/batches/{batch['id']}{path}")
    unknown = getattr(stranger, method)(f"/v1/batches/batch_unknown{path}")
    error, expected = error_of(refused, 404), error_of(unknown, 404)
    assert error["message"].replace(batch["id"], "batch_unknown") == expected["message"]
    assert Batch.objects.values().get() == before
    assert get(stranger, "batches")["data"] == []
    anonymous = getattr(Client(), method)(f"/v1/batches/{batch['id']}{path}")
    error_of(anonymous, 401)


def test_the_output_of_somebody_else_is_not_there(client: Client) -> None:
    batch = created(client, inline(1))
    run(batch)
    file_id = get(client, f"batches/{batch['id']}")["output_file_id"]
    stranger = client_of()
    error_of(stranger.get(f"/v1/files/{file_id}"), 404)
    error_of(stranger.get(f"/v1/files/{file_id}/content"), 404)
    assert get(stranger, "files")["data"] == []


def test_staff_see_the_batches_of_all(client: Client) -> None:
    batch = created(client, inline(1))
    staff = client_of(user_named(is_staff=True))
    assert get(staff, f"batches/{batch['id']}")["id"] == batch["id"]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"name": " Reviews\nof May "}, "Reviews of May"),
        ({"metadata": {"description": "nightly"}}, "nightly"),
        ({"name": "a", "metadata": {"description": "b"}}, "a"),
        ({}, None),
    ],
)
def test_a_batch_has_a_name_for_people(client: Client, given: Any, name: str | None) -> None:
    batch = created(client, inline(**given))
    assert batch["name"] == name
    assert get(client, f"batches/{batch['id']}")["name"] == name


def test_a_batch_of_a_file_has_the_name_of_the_file(client: Client, user: User) -> None:
    file = file_of(user, json.dumps(line()))
    assert created(client, of_file(file.public_id))["name"] == "in.jsonl"


def test_a_name_that_is_too_long_is_refused(client: Client) -> None:
    assert error_of(post(client, inline(name="x" * 256)), 400)["param"] == "name"
