"""The rows of the contract as a user of the official client meets them, whatever its version.

`python contract.py BASE_URL TOKEN` needs nothing but the `openai` package. It prints a JSON object
for each row: {"row": "OA-20", "fault": null, or what is wrong}. tests/processes/test_contract.py
runs it with the newest client and with the last ones of the older lines.
"""

import base64
import hashlib
import hmac
import json
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import openai

from tests.waiting import PATIENCE_S, wait_until

CHAT = "/v1/chat/completions"
MODEL = "simulated-small"
ENDED = ("completed", "failed", "expired", "cancelled")
MIB = 2**20

Row = Callable[["User"], None]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    """Register the check of a row."""

    def register(check: Row) -> Row:
        ROWS[name] = check
        return check

    return register


@dataclass
class User:
    """A user of the client, and what comes back on the wire."""

    client: Any
    base_url: str
    token: str
    replies: list[httpx.Response] = field(default_factory=list)

    def upload(self, *lines: dict[str, Any], **options: Any) -> Any:
        content = "".join(json.dumps(line) + "\n" for line in lines or (line_of("a"),))
        file = ("in.jsonl", content.encode())
        return self.client.files.create(file=file, purpose="batch", **options)

    def batch(self, *lines: dict[str, Any], **options: Any) -> Any:
        given = {"endpoint": CHAT, "completion_window": "24h", **options}
        return self.client.batches.create(input_file_id=self.upload(*lines).id, **given)

    def ended(self, *lines: dict[str, Any], **options: Any) -> Any:
        return self.wait(self.batch(*lines, **options))

    def wait(self, batch: Any) -> Any:
        def has_ended() -> bool:
            return self.client.batches.retrieve(batch.id).status in ENDED

        wait_until(has_ended, f"the end of {batch.id}")
        return self.client.batches.retrieve(batch.id)

    def lines(self, file_id: str | None) -> list[Any]:
        if file_id is None:
            return []
        return [json.loads(text) for text in self.client.files.content(file_id).text.splitlines()]

    def raw(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request without the client, for what the client does not show."""
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return httpx.request(
            method, self.base_url + path, headers=headers, timeout=PATIENCE_S, **options
        )

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.post(path, body=body or {}, cast_to=object)
        return answer

    def get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(path, cast_to=object)
        return answer


def line_of(custom_id: str, text: str = "hello", **changes: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def refused(kind: type[openai.APIStatusError], call: Callable[[], object]) -> Any:
    """The error of a call that must end so."""
    error = refused_somehow(call)
    check(type(error), kind)
    return error


def check(actual: object, expected: object) -> None:
    assert actual == expected, f"{actual!r} instead of {expected!r}"


def counts_of(batch: Any) -> tuple[int, int, int]:
    counts = batch.request_counts
    return counts.total, counts.completed, counts.failed


def fault_of(batch: Any) -> tuple[str, str, str | None, int | None]:
    first = batch.errors.data[0]
    return batch.status, first.code, first.param, first.line


# -- 1. Transport


@row("OA-1")
def key_and_odd_headers(user: User) -> None:
    headers = {"openai-organization": "org", "openai-project": "p", "x-stainless-os": "?"}
    check(user.raw("GET", "/models", headers=headers).status_code, 200)
    options: dict[str, Any] = {"input_file_id": user.upload().id, "endpoint": CHAT}
    options |= {"completion_window": "24h", "extra_headers": {"x-stainless-retry-count": "1"}}
    twins = {user.client.batches.create(**options).id for _ in range(2)}
    check(len(twins), 2)
    options["extra_headers"] = {"Idempotency-Key": f"one of {options['input_file_id']}"}
    check(len({user.client.batches.create(**options).id for _ in range(2)}), 1)
    stranger = openai.OpenAI(base_url=user.base_url, api_key="tp_nobody", max_retries=0)
    refused(openai.AuthenticationError, stranger.models.list)


@row("OA-2")
def request_ids(user: User) -> None:
    with_id = user.client.models.with_raw_response.list()
    assert with_id.headers["x-request-id"], "there is no x-request-id"
    error = refused(openai.NotFoundError, lambda: user.client.batches.retrieve("batch_none"))
    assert error.request_id


@row("OA-3")
def useless_retries(user: User) -> None:
    batch = user.ended(line_of("a"))
    seen: list[httpx.Response] = []
    http = httpx.Client(event_hooks={"response": [seen.append]})
    options: dict[str, Any] = {"max_retries": 5, "http_client": http}
    patient = openai.OpenAI(base_url=user.base_url, api_key=user.token, **options)
    error = refused(openai.ConflictError, lambda: patient.batches.cancel(batch.id))
    check(error.response.headers["x-should-retry"], "false")
    check(len(seen), 1)


@row("OA-6")
def error_bodies(user: User) -> None:
    missing = [user.raw("GET", path) for path in ("/batches/none", "/files/none", "/nothing/here")]
    wrong = user.raw("POST", "/batches", json={"endpoint": 5})
    stranger = httpx.get(user.base_url + "/batches", timeout=PATIENCE_S)
    for reply in (*missing, wrong, stranger, user.raw("PUT", "/batches")):
        check(set(reply.json()), {"error"})
        check(set(reply.json()["error"]), {"message", "type", "param", "code"})
        assert reply.json()["error"]["message"]


@row("OA-7")
def error_classes(user: User) -> None:
    refused(openai.BadRequestError, lambda: user.batch(metadata={"k": "v" * 513}))
    refused(openai.NotFoundError, lambda: user.client.files.retrieve("file-none"))
    user.client.files.delete((file := user.upload()).id)
    refused(openai.NotFoundError, lambda: user.client.files.content(file.id))
    too_large = lambda: user.post("/batches", {"prompts": ["x" * (33 * MIB)]})
    check(refused(openai.APIStatusError, too_large).status_code, 413)


@row("OA-8")
def pages(user: User) -> None:
    made = [user.upload(line_of(f"page {n}")).id for n in range(5)]
    page = user.get("/files?limit=2")
    check(set(page), {"object", "data", "has_more", "first_id", "last_id"})
    check((page["object"], page["has_more"], len(page["data"])), ("list", True, 2))
    check((page["first_id"], page["last_id"]), (page["data"][0]["id"], page["data"][1]["id"]))
    found = [file.id for file in user.client.files.list(limit=2)]
    check([file for file in found if file in made], made[::-1])
    check(len(set(found)), len(found))
    check(user.raw("GET", "/files?after=file-none").status_code, 400)


@row("OA-9")
def success_is_200(user: User) -> None:
    reply = user.client.batches.with_raw_response.create(
        input_file_id=user.upload().id, endpoint=CHAT, completion_window="24h"
    )
    check(reply.http_response.status_code, 200)


@row("OA-10")
def values_that_the_client_does_not_check(user: User) -> None:
    batch = user.ended(line_of("a"))
    assert batch.status in ENDED
    check(batch.object, "batch")
    assert batch.id.startswith("batch_")
    file = user.client.files.retrieve(batch.output_file_id)
    check((file.object, file.purpose, file.status), ("file", "batch_output", "processed"))


# -- 2. Endpoints


@row("OA-20")
def create_a_file(user: User) -> None:
    file = user.upload(extra_body={"expires_after": {"anchor": "created_at", "seconds": 3600}})
    assert file.id.startswith("file-")
    check((file.object, file.purpose, file.status), ("file", "batch", "processed"))
    check(file.filename, "in.jsonl")
    check(file.expires_at - file.created_at, 3600)
    empty = lambda: user.client.files.create(file=("x.jsonl", b""), purpose="batch")
    refused(openai.BadRequestError, empty)
    odd = lambda: user.client.files.create(file=("x.txt", b"hello"), purpose="batch")
    refused(openai.BadRequestError, odd)


@row("OA-21")
def list_files(user: User) -> None:
    older, newer = user.upload().id, user.upload().id
    listed = [file.id for file in user.client.files.list(purpose="batch", order="asc")]
    assert listed.index(older) < listed.index(newer)
    listed = [file.id for file in user.client.files.list()]
    assert listed.index(older) > listed.index(newer)
    for query in ("limit=0", "limit=10001", "order=up"):
        check(user.raw("GET", f"/files?{query}").status_code, 400)


@row("OA-22")
def retrieve_a_file(user: User) -> None:
    file = user.upload()
    check(user.client.files.retrieve(file.id), file)
    check(user.client.files.wait_for_processing(file.id), file)


@row("OA-23")
def delete_a_file(user: User) -> None:
    file = user.upload()
    deleted = user.client.files.delete(file.id)
    check((deleted.id, deleted.object, deleted.deleted), (file.id, "file", True))
    refused(openai.NotFoundError, lambda: user.client.files.retrieve(file.id))


@row("OA-24")
def read_a_file(user: User) -> None:
    line = line_of("a")
    check(json.loads(user.client.files.content(user.upload(line).id).read()), line)


@row("OA-25")
def create_a_batch(user: User) -> None:
    expiry = {"output_expires_after": {"anchor": "created_at", "seconds": 7200}}
    batch = user.batch(metadata={"project": "x"}, extra_body=expiry)
    check((batch.status, batch.endpoint, batch.completion_window), ("validating", CHAT, "24h"))
    check((counts_of(batch), batch.metadata), ((0, 0, 0), {"project": "x"}))
    check(batch.expires_at - batch.created_at, 86400)
    output = user.client.files.retrieve(user.wait(batch).output_file_id)
    check(output.expires_at - output.created_at, 7200)


@row("OA-26")
def retrieve_a_batch(user: User) -> None:
    batch = user.ended(line_of("a"), line_of("b"))
    check((batch.status, counts_of(batch)), ("completed", (2, 2, 0)))
    times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert all(type(moment) is int for moment in times)
    check(sorted(times), times)
    # I9
    check(user.client.batches.retrieve(batch.id), batch)


@row("OA-27")
def list_batches(user: User) -> None:
    made = [user.batch().id for _ in range(3)]
    check([batch.id for batch in user.client.batches.list(limit=2)][:3], made[::-1])
    for limit in (0, 101):
        check(user.raw("GET", f"/batches?limit={limit}").status_code, 400)


@row("OA-28")
def cancel_a_batch(user: User) -> None:
    # Two at a time they take half a minute, of which the first two are waited for.
    slow = [line_of(str(n), "[simulate: latency=1]") for n in range(60)]
    batch = user.batch(*slow, extra_body={"batch_size": 2})
    once, twice = (user.client.batches.cancel(batch.id) for _ in range(2))
    assert once.status in ("cancelling", "cancelled"), once.status
    assert twice.status in ("cancelling", "cancelled"), twice.status
    check(user.wait(twice).status, "cancelled")


@row("OA-29")
def create_an_upload(user: User) -> None:
    upload = upload_of(user, 10)
    assert upload.id.startswith("upload_")
    check((upload.object, upload.status, upload.bytes), ("upload", "pending", 10))
    check(upload.expires_at - upload.created_at, 3600)


def upload_of(user: User, size: int) -> Any:
    return user.client.uploads.create(
        bytes=size, filename="in.jsonl", mime_type="application/jsonl", purpose="batch"
    )


@row("OA-30")
def add_a_part(user: User) -> None:
    upload = upload_of(user, 10)
    part = user.client.uploads.parts.create(upload.id, data=b"0123456789")
    check((part.object, part.upload_id), ("upload.part", upload.id))
    assert part.id.startswith("part_")


@row("OA-31")
def complete_an_upload(user: User) -> None:
    content = json.dumps(line_of("a")).encode() + b"\n"
    upload = upload_of(user, len(content))
    parts = [
        user.client.uploads.parts.create(upload.id, data=content[lo:hi]).id
        for lo, hi in ((20, None), (0, 20))
    ]
    md5 = hashlib.md5(content).hexdigest()  # noqa: S324 - the contract says so
    done = user.client.uploads.complete(upload.id, part_ids=parts[::-1], md5=md5)
    check((done.status, done.file.bytes), ("completed", len(content)))
    check(user.client.files.content(done.file.id).read(), content)
    chunked = user.client.uploads.upload_file_chunked(
        file=content,
        filename="x.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=50,
    )
    check(user.client.files.content(chunked.file.id).read(), content)


@row("OA-32")
def cancel_an_upload(user: User) -> None:
    upload = upload_of(user, 10)
    check(user.client.uploads.cancel(upload.id).status, "cancelled")
    more = lambda: user.client.uploads.parts.create(upload.id, data=b"x")
    assert 400 <= refused_somehow(more).status_code < 500


def refused_somehow(call: Callable[[], object]) -> Any:
    try:
        call()
    except openai.APIStatusError as error:
        return error
    raise AssertionError("it was not refused")


@row("OA-33")
def webhook_endpoints(user: User) -> None:
    made = endpoint_of(user, "http://127.0.0.1:9/hook")
    check(made["object"], "webhook_endpoint")
    assert made["signing_secret"].startswith("whsec_")
    path = f"/webhook_endpoints/{made['id']}"
    shown = user.get(path)
    assert not shown.get("signing_secret")
    check(user.post(path, {"name": "renamed"})["name"], "renamed")
    assert made["id"] in [one["id"] for one in user.get("/webhook_endpoints")["data"]]
    check(user.client.delete(path, cast_to=object)["object"], "webhook_endpoint.deleted")
    refused(openai.NotFoundError, lambda: user.get(path))


def endpoint_of(user: User, url: str, *types: str) -> dict[str, Any]:
    body = {"name": "mine", "url": url, "event_types": list(types or ("batch.completed",))}
    return user.post("/webhook_endpoints", body)


@row("OA-34")
def rotate_a_secret(user: User) -> None:
    made = endpoint_of(user, "http://127.0.0.1:9/hook")
    body = {"keep_old_secret_active_for_24_hours": True}
    rotated = user.post(f"/webhook_endpoints/{made['id']}/rotate_secret", body)
    assert rotated["signing_secret"] != made["signing_secret"]


@row("OA-35")
def test_an_endpoint(user: User) -> None:
    with receiver() as (url, received):
        made = endpoint_of(user, url)
        body = {"event_type": "batch.completed"}
        told = user.post(f"/webhook_endpoints/{made['id']}/test", body)
        user.client.delete(f"/webhook_endpoints/{made['id']}", cast_to=object)
    check(told["object"], "webhook_endpoint.test")
    check((told["success"], told["status_code"]), (True, 200))
    check((told["event_type"], told["webhook_endpoint_id"]), ("batch.completed", made["id"]))
    check(len(received), 1)


@row("OA-36")
def event_types(user: User) -> None:
    listed = user.get("/webhook_event_types")
    types = {f"batch.{end}" for end in ("completed", "failed", "expired", "cancelled")}
    assert types <= {one if isinstance(one, str) else one["id"] for one in listed["data"]}


# -- 5. Validation


@row("5: endpoint and window")
def bad_options(user: User) -> None:
    for param in ("endpoint", "completion_window"):
        error = refused(openai.BadRequestError, lambda: user.batch(**{param: "nonsense"}))  # noqa: B023 - called at once
        check((error.code, error.param), ("invalid_value", param))


@row("5: unknown file")
def unknown_file(user: User) -> None:
    given = {"endpoint": CHAT, "completion_window": "24h"}
    batch = user.client.batches.create(input_file_id="file-none", **given)
    check(fault_of(batch), ("failed", "invalid_request", "file_id", None))
    check((counts_of(batch), batch.output_file_id), ((0, 0, 0), None))


@row("5: lines")
def bad_lines(user: User) -> None:
    streamed = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
    missing = {name: value for name, value in line_of("b").items() if name != "url"}
    unknown = {**streamed, "stream": False, "model": "nobody"}
    cases: list[tuple[dict[str, Any], str, str | None]] = [
        (missing, "missing_required_parameter", "url"),
        (line_of("b", body=streamed), "streaming_unsupported", "body.stream"),
        (line_of("b") | {"url": "/v1/embeddings"}, "invalid_url", "url"),
        (line_of("a"), "duplicate_custom_id", "custom_id"),
        (line_of("b", body=unknown), "model_not_found", "body.model"),
    ]
    for line, code, param in cases:
        check(fault_of(user.ended(line_of("a"), line)), ("failed", code, param, 2))


@row("5: too many")
def too_many_tasks(user: User) -> None:
    body = {"prompts": ["x"] * 10_001, "body": {"model": MODEL}}
    error = refused(openai.BadRequestError, lambda: user.post("/batches", body))
    check((error.code, error.param), ("too_many_tasks", "prompts"))


@row("5: line not JSON")
def no_json(user: User) -> None:
    content = json.dumps(line_of("a")).encode() + b"\n{not json\n"
    file = user.client.files.create(file=("in.jsonl", content), purpose="batch")
    given = {"endpoint": CHAT, "completion_window": "24h"}
    batch = user.wait(user.client.batches.create(input_file_id=file.id, **given))
    check(fault_of(batch), ("failed", "invalid_json_line", None, 2))
    check(batch.errors.data[0].message, "This line is not parseable as valid JSON.")


@row("5: byte order mark and two models (ours)")
def supersets(user: User) -> None:
    other = {"model": "simulated-small", "messages": [{"role": "user", "content": "x"}]}
    lines = [line_of("a"), line_of("b", body=other)]
    content = "\ufeff" + "".join(json.dumps(line) + "\n" for line in lines)
    file = user.client.files.create(file=("in.jsonl", content.encode()), purpose="batch")
    given = {"endpoint": CHAT, "completion_window": "24h"}
    batch = user.wait(user.client.batches.create(input_file_id=file.id, **given))
    check((batch.status, counts_of(batch)), ("completed", (2, 2, 0)))


@row("5: cancel")
def cancels(user: User) -> None:
    refused(openai.NotFoundError, lambda: user.client.batches.cancel("batch_none"))
    failed = user.ended(line_of("a"), line_of("a"))
    error = refused(openai.ConflictError, lambda: user.client.batches.cancel(failed.id))
    check(error.type, "invalid_request_error")
    assert "Cannot cancel a batch with status 'failed'." in error.message


# -- 6. and 7. Lines and invariants


@row("6: success, I1, I2, I6")
def output_lines(user: User) -> None:
    names = [f"line {n}" for n in range(20)]
    batch = user.ended(*(line_of(name) for name in names))
    check(batch.error_file_id, None)
    lines = user.lines(batch.output_file_id)
    check([line["custom_id"] for line in lines], names)
    for line in lines:
        check((set(line), line["error"]), ({"id", "custom_id", "response", "error"}, None))
        check((line["id"].startswith("batch_req_"), line["response"]["status_code"]), (True, 200))
        assert line["response"]["request_id"]
        assert line["response"]["body"]["choices"]


@row("6: HTTP error, I3")
def error_lines(user: User) -> None:
    batch = user.ended(line_of("a", "[simulate: status=400]"))
    check((batch.status, counts_of(batch)), ("completed", (1, 0, 1)))
    check(batch.output_file_id, None)
    [line] = user.lines(batch.error_file_id)
    check((line["error"], line["response"]["status_code"]), (None, 400))
    assert {"message", "type", "param", "code"} <= set(line["response"]["body"]["error"])


@row("6: never ran, I4, I7")
def lines_that_never_ran(user: User) -> None:
    # Two at a time they take half a minute, of which the first two are waited for.
    slow = [line_of(f"slow {n}", "[simulate: latency=1]") for n in range(60)]
    lines = [line_of("quick"), *slow]
    batch = user.batch(*lines, extra_body={"batch_size": 2})
    retrieve = user.client.batches.retrieve
    wait_until(lambda: retrieve(batch.id).request_counts.completed, "a first result")
    user.client.batches.cancel(batch.id)
    batch = user.wait(batch)
    total, completed, failed = counts_of(batch)
    check((total, completed >= 1, failed), (len(lines), True, 0))
    errors = user.lines(batch.error_file_id)
    check(len(errors) + len(user.lines(batch.output_file_id)), len(lines))
    check({line["error"]["code"] for line in errors}, {"batch_cancelled"})
    check([line["response"] for line in errors], [None] * len(errors))


# -- Every endpoint of the contract, and one that staff allow on the provider (ours)

PIXEL = "data:image/png;base64,iVBORw0KGgo="
ENDPOINTS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "/v1/responses": ("output", [{"input": "hello"}]),
    "/v1/embeddings": ("data", [{"input": ["a", "b"]}]),
    "/v1/completions": ("choices", [{"prompt": "hello"}, {"prompt": ["a", "b"]}]),
    "/v1/moderations": (
        "results",
        [
            {"input": "violence"},
            {
                "input": [
                    {"type": "text", "text": "violence"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ]
            },
        ],
    ),
    "/v1/images/generations": ("data", [{"prompt": "a cat", "background": "transparent"}]),
    "/v1/images/edits": ("data", [{"prompt": "a hat", "images": [{"image_url": PIXEL}]}]),
    "/v1/videos": (
        "id",
        [{"prompt": "waves"}, {"prompt": "waves", "input_reference": {"file_id": "file-1"}}],
    ),
    "/v1/rerank": ("results", [{"query": "cats", "documents": ["dogs", "cats"]}]),
}


@row("C2, D6, D7, D8: every endpoint")
def every_endpoint(user: User) -> None:
    running = []
    for endpoint, (field_name, bodies) in ENDPOINTS.items():
        lines = [
            line_of(f"line {n}", url=endpoint, body={"model": MODEL, **body})
            for n, body in enumerate(bodies)
        ]
        running.append((endpoint, field_name, user.batch(*lines, endpoint=endpoint)))
    for endpoint, field_name, batch in running:
        ended = user.wait(batch)
        found = [line["response"]["body"] for line in user.lines(ended.output_file_id)]
        check((endpoint, ended.status, ended.error_file_id), (endpoint, "completed", None))
        check(len(found), len(ENDPOINTS[endpoint][1]))
        assert all(one[field_name] for one in found), endpoint
        if "images" in endpoint:
            assert base64.b64decode(found[0]["data"][0]["b64_json"]).startswith(b"\x89PNG")


@row("D6: stream")
def no_endpoint_streams(user: User) -> None:
    body = {"model": MODEL, "input": "hello", "stream": True}
    batch = user.ended(line_of("a", url="/v1/moderations", body=body), endpoint="/v1/moderations")
    check(fault_of(batch), ("failed", "streaming_unsupported", "body.stream", 1))


@row("filters and a callback (ours)")
def filters_and_callback(user: User) -> None:
    with receiver() as (url, received):
        more = {"extra_body": {"callback_url": url}}
        batch = user.ended(line_of("a"), **more)
        wait_until(lambda: received, "the delivery of an event")
    headers, body = received[0]
    check(json.loads(body)["data"], {"id": batch.id})
    assert headers["webhook-signature"].startswith("v1,")
    query = {"status": ["completed", "failed"], "created_before": batch.created_at + 1}
    listed = user.client.batches.list(limit=1, extra_query=query)
    check([one.id for one in listed.data], [batch.id])
    refused(
        openai.BadRequestError,
        lambda: user.client.batches.list(extra_query={"status": "done"}),
    )


# -- 8. Webhooks


@row("8: event")
def an_event(user: User) -> None:
    with receiver() as (url, received):
        made = endpoint_of(user, url)
        batch = user.ended(line_of("a"))
        name = batch.id.encode()
        wait_until(lambda: any(name in body for _, body in received), "the delivery of an event")
        user.client.delete(f"/webhook_endpoints/{made['id']}", cast_to=object)
    headers, body = next(one for one in received if batch.id.encode() in one[1])
    secret = made["signing_secret"]
    event = user.client.webhooks.unwrap(body, headers, secret=secret)
    check((event.type, event.data.id), ("batch.completed", batch.id))
    check(set(json.loads(body)), {"id", "object", "created_at", "type", "data"})
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert f"v1,{digest}" in headers["webhook-signature"].split()


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that says yes to everything, and what has come."""
    received: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", received
        server.shutdown()
        thread.join()


def fault(check: Row, user: User) -> str | None:
    """What is wrong with a row, or None."""
    try:
        check(user)
    except Exception:
        return traceback.format_exc()
    return None


def main(base_url: str, token: str) -> None:
    with openai.OpenAI(base_url=base_url, api_key=token, max_retries=0) as client:
        for name, check in ROWS.items():
            told = {"row": name, "fault": fault(check, User(client, base_url, token))}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
