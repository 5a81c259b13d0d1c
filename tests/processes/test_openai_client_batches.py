"""The unmodified official client runs batches: the rows of the contract, by their ids."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.processes.api_stack import MODEL, ApiStack

CHAT = "/v1/chat/completions"
ENDED = {"completed", "failed", "expired", "cancelled"}


def line(custom_id: str, text: str = "hello", **changes: Any) -> dict[str, Any]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


class User:
    """A user of the official client, who waits for what should happen."""

    def __init__(self, stack: ApiStack) -> None:
        self.token = stack.server.token()
        self.client = OpenAI(base_url=stack.server.base_url, api_key=self.token, max_retries=0)
        self._stack = stack

    def upload(self, lines: Iterable[Mapping[str, Any]] | bytes) -> str:
        content = lines if isinstance(lines, bytes) else jsonl(lines)
        return self.client.files.create(file=("in.jsonl", content), purpose="batch").id

    def create(self, file_id: str, **options: Any) -> Batch:
        chosen: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h", **options}
        return self.client.batches.create(input_file_id=file_id, **chosen)

    def inline(self, texts: list[str], **more: Any) -> Batch:
        """A batch of prompts that come with the request: ours, so not in the client's types."""
        body = {"prompts": texts, "body": {"model": MODEL}, **more}
        return self.client.post("/batches", cast_to=Batch, body=body)

    def wait(self, batch: Batch, reached: Callable[[Batch], object] | None = None) -> Batch:
        """The batch when it is so, or has ended."""
        reached = reached or (lambda now: now.status in ENDED)
        seen: list[Batch] = []

        def look() -> object:
            seen.append(self.client.batches.retrieve(batch.id))
            return reached(seen[-1])

        self._stack.stack.wait_until(look, f"what {batch.id} should come to")
        return seen[-1]

    def ended(self, lines: Iterable[Mapping[str, Any]] | bytes, **options: Any) -> Batch:
        return self.wait(self.create(self.upload(lines), **options))

    def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        return [json.loads(text) for text in self.client.files.content(file_id).text.splitlines()]


@pytest.fixture
def user(api_stack: ApiStack) -> User:
    return User(api_stack)


def check_each_line_once(user: User, batch: Batch, custom_ids: Iterable[str]) -> None:
    """I1: output and error file together have each line once; I6: in the order of the input."""
    output, errors = (user.lines(file) for file in (batch.output_file_id, batch.error_file_id))
    found = [one["custom_id"] for one in (*output, *errors)]
    assert sorted(found) == sorted(custom_ids)
    order = {name: place for place, name in enumerate(custom_ids)}
    for lines in (output, errors):
        places = [order[one["custom_id"]] for one in lines]
        assert places == sorted(places)


def test_a_file_becomes_results(user: User) -> None:
    """OA-25, OA-26, section 6: success."""
    ids = [f"id-{n}" for n in range(25)]
    file_id = user.upload(line(name, f"text {name}") for name in ids)
    made = user.create(file_id, metadata={"project": "x"})
    assert made.id.startswith("batch_")
    assert (made.object, made.endpoint, made.input_file_id) == ("batch", CHAT, file_id)
    assert (made.completion_window, made.metadata) == ("24h", {"project": "x"})
    # A worker may already have gone on with it.
    assert made.status == "validating"
    assert made.request_counts is not None
    assert made.request_counts.to_dict() == {"total": 0, "completed": 0, "failed": 0}
    batch = user.wait(made)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 25, "completed": 25, "failed": 0}
    assert batch.usage is not None
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0
    times = (batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at)
    assert all(isinstance(time, int) for time in times)
    assert list(times) == sorted(time or 0 for time in times)
    check_each_line_once(user, batch, ids)
    first = user.lines(batch.output_file_id)[0]
    assert set(first) == {"id", "custom_id", "response", "error"}
    assert first["id"].startswith("batch_req_")
    assert (first["error"], first["response"]["status_code"]) == (None, 200)
    assert first["response"]["request_id"]
    assert first["response"]["body"]["choices"]
    # I9
    assert user.client.batches.retrieve(batch.id) == batch


def test_the_list_goes_through_all_pages_newest_first(user: User) -> None:
    """OA-27, OA-8."""
    ids = [user.inline(["a"]).id for _ in range(5)][::-1]
    assert [batch.id for batch in user.client.batches.list(limit=2)] == ids


def test_failed_lines_are_in_the_error_file(user: User) -> None:
    """Section 6: HTTP errors and prompts without an answer; I3 with all of them failed."""
    texts = ["fine", "[simulate: status=400]", "[simulate: status=404]"]
    ids = [f"id-{n}" for n in range(len(texts))]
    batch = user.ended([line(name, text) for name, text in zip(ids, texts, strict=True)])
    assert batch.status == "completed"
    check_each_line_once(user, batch, ids)
    for failed in user.lines(batch.error_file_id):
        assert failed["error"] is None
        assert failed["response"]["status_code"] in (400, 404)
        assert set(failed["response"]["body"]["error"]) >= {"message", "type"}
    hopeless = user.ended([line("a", "[simulate: status=400]")])
    assert (hopeless.status, hopeless.output_file_id) == ("completed", None)
    assert hopeless.request_counts is not None
    assert hopeless.request_counts.to_dict() == {"total": 1, "completed": 0, "failed": 1}


def test_a_prompt_that_times_out_says_so(user: User) -> None:
    """Section 6: request_timeout."""
    options = {"max_attempts": 1, "timeout_s": 0.2}
    batch = user.wait(user.inline(["[simulate: latency=20]"], **options))
    [failed] = user.lines(batch.error_file_id)
    assert failed["response"] is None
    assert failed["error"]["code"] == "request_timeout"


def test_cancel_is_idempotent_and_keeps_what_is_done(user: User) -> None:
    """OA-28, I4, I7 and section 5."""
    # Four at a time the slow ones take a quarter of a minute, of which the first are waited for.
    texts = ["quick"] * 3 + ["[simulate: latency=1]"] * 60
    made = user.inline(texts, batch_size=4)
    user.wait(made, lambda now: now.request_counts and now.request_counts.completed >= 3)
    cancelled = user.client.batches.cancel(made.id)
    assert cancelled.status in ("cancelling", "cancelled")
    assert user.client.batches.cancel(made.id).status in ("cancelling", "cancelled")
    batch = user.wait(made)
    assert (batch.status, batch.cancelling_at is None, batch.cancelled_at is None) == (
        "cancelled",
        False,
        False,
    )
    assert batch.request_counts is not None
    counts = batch.request_counts
    assert (counts.total, counts.completed >= 3) == (len(texts), True)
    assert counts.completed + counts.failed < len(texts)
    check_each_line_once(user, batch, [f"line-{n + 1}" for n in range(len(texts))])
    codes = {one["error"]["code"] for one in user.lines(batch.error_file_id)}
    assert "batch_cancelled" in codes
    assert user.client.batches.cancel(made.id) == batch


def test_a_batch_whose_window_is_over_expires(user: User, api_stack: ApiStack) -> None:
    """I4 with expiry."""
    made = user.inline(["quick", *["[simulate: latency=20]"] * 5], batch_size=2, timeout_s=1)
    user.wait(made, lambda now: now.request_counts and now.request_counts.completed >= 1)
    api_stack.stack.driver("expire", batch=made.id)
    batch = user.wait(made)
    assert (batch.status, batch.expired_at is None) == ("expired", False)
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 1
    check_each_line_once(user, batch, [f"line-{n + 1}" for n in range(6)])
    codes = [one["error"]["code"] for one in user.lines(batch.error_file_id)]
    assert "batch_expired" in codes
    assert codes.count("batch_expired") == 6 - 1 - batch.request_counts.failed


def test_an_ended_batch_cannot_be_cancelled(user: User) -> None:
    """Section 5; OA-3: the client must not try again, or it would take seconds."""
    batch = user.ended([line("a")])
    patient = user.client.with_options(max_retries=5)
    with pytest.raises(openai.ConflictError) as caught:
        patient.batches.cancel(batch.id)
    assert caught.value.type == "invalid_request_error"
    assert "Cannot cancel a batch with status 'completed'." in caught.value.message
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_unknown_batches_are_404(user: User) -> None:
    for ask in (user.client.batches.retrieve, user.client.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            ask("batch_00000000000000000000000000000000")


@pytest.mark.parametrize("param", ["endpoint", "completion_window"])
def test_bad_options_are_400(user: User, param: str) -> None:
    """Section 5, first row."""
    with pytest.raises(openai.BadRequestError) as caught:
        user.create(user.upload([line("a")]), **{param: "nonsense"})
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)


VALIDATION = [
    (b'{"custom_id": "a"\n', "invalid_json_line", None, 1),
    (
        jsonl([{"method": "POST", "url": CHAT, "body": {}}]),
        "missing_required_parameter",
        "custom_id",
        1,
    ),
    (
        jsonl([line("a", body={"model": MODEL, "messages": [{}], "stream": True})]),
        "streaming_unsupported",
        "body.stream",
        1,
    ),
    (jsonl([line("a", url="/v1/embeddings")]), "invalid_url", "url", 1),
    (jsonl([line("a"), line("b"), line("a")]), "duplicate_custom_id", "custom_id", 3),
    (
        jsonl([line("a"), line("b", body={"model": "unknown", "messages": [{}]})]),
        "model_not_found",
        "body.model",
        2,
    ),
]


@pytest.mark.parametrize(("content", "code", "param", "number"), VALIDATION)
def test_what_validation_finds(
    user: User, content: bytes, code: str, param: str | None, number: int
) -> None:
    """Section 5."""
    # What the upload itself would refuse is not for the batch to find.
    if code == "invalid_json_line":
        content = jsonl([line("x")]) + content
        number += 1
    batch = user.ended(content)
    assert (batch.status, batch.failed_at is None) == ("failed", False)
    assert batch.errors is not None
    assert batch.errors.data is not None
    first = batch.errors.data[0]
    assert (first.code, first.param, first.line) == (code, param, number)
    assert first.message
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


def test_a_file_that_is_not_there_fails_the_batch(user: User, api_stack: ApiStack) -> None:
    """Section 5: 200 and failed; of somebody else's file nothing more is told."""
    other = User(api_stack).upload([line("a")])
    for file_id in ("file-nowhere", other):
        batch = user.create(file_id)
        assert (batch.status, batch.input_file_id) == ("failed", file_id)
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert (batch.errors.data[0].code, batch.errors.data[0].param) == (
            "invalid_request",
            "file_id",
        )


def test_counts_only_grow_and_the_output_can_be_read_meanwhile(
    user: User, api_stack: ApiStack
) -> None:
    """I5, and our own: results while the batch runs."""
    seen: list[tuple[int, int]] = []
    incomplete: list[bool] = []

    def note(now: Batch) -> bool:
        assert now.request_counts
        counts = now.request_counts
        seen.append((counts.completed, counts.failed))
        if 0 < counts.completed < 7 and now.status == "in_progress":
            assert now.output_file_id
            content = user.client.files.content(now.output_file_id)
            assert len(content.text.splitlines()) >= counts.completed
            # The batch may have ended between two questions.
            later = user.client.batches.retrieve(made.id)
            is_whole = "x-incomplete" not in content.response.headers
            assert not (is_whole and later.status == "in_progress")
            incomplete.append(not is_whole)
        return now.status in ENDED

    with api_stack.simulator.holding("slow"):
        made = user.inline(["quick"] * 5 + ["slow"] * 2, batch_size=2)
        user.wait(made, lambda now: note(now) or any(incomplete))
    user.wait(made, note)
    assert seen == sorted(seen)
    assert any(0 < completed < 7 for completed, _ in seen)
    assert any(incomplete)


def test_what_failed_is_run_again(user: User, api_stack: ApiStack) -> None:
    """Ours: POST /batches/{id}/retry."""
    made = user.wait(user.inline(["a", "[simulate: status=400 times=1] again"]))
    assert made.error_file_id
    with api_stack.simulator.holding("again"):
        again = user.client.post(f"/batches/{made.id}/retry", cast_to=Batch)
    assert again.status == "in_progress"
    batch = user.wait(again)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert len(user.lines(batch.output_file_id)) == 2


def test_events_tell_of_progress_and_end(user: User, api_stack: ApiStack) -> None:
    """Ours: GET /batches/{id}/events, to the end, and by somebody who leaves before."""
    made = user.inline(["quick"] * 3 + ["[simulate: latency=3]"], batch_size=2)
    url = f"{api_stack.server.base_url}/batches/{made.id}/events"
    headers = {"Authorization": f"Bearer {user.token}"}
    with httpx.stream("GET", url, headers=headers, timeout=60) as leaver:
        assert next(leaver.iter_lines()) == "event: progress"
    with httpx.stream("GET", url, headers=headers, timeout=60) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        events = [text.split("\n") for text in "\n".join(reply.iter_lines()).split("\n\n") if text]
    names = [event[0] for event in events if not event[0].startswith(":")]
    assert names[0] == "event: progress"
    assert names[-1] == "event: end"
    last = json.loads(events[-1][1].removeprefix("data: "))
    assert (last["id"], last["status"]) == (made.id, "completed")
    assert last["request_counts"]["completed"] == 4


def test_a_repeated_key_makes_one_batch(user: User) -> None:
    """Ours: Idempotency-Key."""
    file_id = user.upload([line("a")])
    headers = {"Idempotency-Key": "once"}
    first = user.create(file_id, extra_headers=headers)
    assert user.create(file_id, extra_headers=headers).id == first.id
    with pytest.raises(openai.ConflictError) as caught:
        user.create(file_id, metadata={"other": "yes"}, extra_headers=headers)
    assert caught.value.code == "idempotency_key_reused"
