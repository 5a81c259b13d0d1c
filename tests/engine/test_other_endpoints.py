"""The replies of endpoints that answer no text, and of paths of which nothing is known."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.endpoints import RULES
from batches.engine.errors import (
    MalformedReply,
    ProviderError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import PreparedRequest, PromptSpec, Reply, Usage
from batches.engine.replies.replies import read_reply, shown_in
from batches.engine.structured.ladder import judge_reply

RERANK = "/v1/rerank"
ASKED = json.dumps({"model": "m", "query": "x" * 40, "documents": ["y" * 80, {"text": "z" * 40}]})


def read(body: Any, *, endpoint: str = RERANK, status: int = 200, asked: str = "") -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(endpoint, status_code=status, headers={}, raw=raw, asked=asked.encode())


# -- Paths of which nothing is known

PASSED = {
    "vLLM": {"id": "r", "usage": {"total_tokens": 7}, "results": [{"index": 0}]},
    "a list": [{"index": 0, "score": 0.5}],
    "a list of numbers": [[0.1, 0.2]],
    "nothing": {},
    "an empty list": [],
    "words of an error": {"message": "Internal server error", "code": 500, "results": []},
    "a status that failed": {"status": "failed", "results": []},
    "an error that is a distance": {"error": 0.25, "score": 1},
    "an error that is null": {"error": None, "results": []},
    "choices": {"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]},
    "a number": 0.75,
    "a text": "done",
    "true": True,
}


@pytest.mark.parametrize("status", [200, 201, 202, 299])
@pytest.mark.parametrize("body", PASSED.values(), ids=PASSED)
def test_a_2xx_with_json_is_a_success_of_a_path_that_is_not_known(body: Any, status: int) -> None:
    got = read(body, status=status)
    assert (got.fault, got.answer, got.status_code) == (None, None, status)
    assert json.loads(got.body) == body


REFUSED = [
    (200, b"<html>", MalformedReply),
    (200, b"", MalformedReply),
    (204, b"", MalformedReply),
    (200, b'{"results": [', MalformedReply),
    (200, {"error": {"message": "slow down", "code": 429}}, RateLimited),
    (200, {"error": "it broke"}, ServerError),
    (200, {"object": "error", "message": "no", "code": 400}, RequestRefused),
    (400, {"detail": "no documents"}, RequestRefused),
    (422, {"results": []}, RequestRefused),
    (429, {"results": []}, RateLimited),
    (500, {"results": []}, ServerError),
]


@pytest.mark.parametrize(("status", "body", "kind"), REFUSED)
def test_anything_else_of_such_a_path_is_the_error_that_its_status_says(
    status: int, body: Any, kind: type[ProviderError]
) -> None:
    with pytest.raises(kind):
        read(body, status=status)


KEYS = st.text(max_size=8).filter(lambda key: key.lower() not in {"error", "object", "type"})
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
FIELDS = st.dictionaries(
    KEYS.filter(lambda key: key not in {"base_resp", "choices", "response", "data", "result"}),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner)),
    max_size=5,
)


@given(body=FIELDS | st.lists(FIELDS, max_size=3))
def test_whatever_json_it_is_it_is_kept_as_it_came(body: Any) -> None:
    text = json.dumps(body, ensure_ascii=False)
    got = read(text.encode("utf-8", "replace"))
    assert got.fault is None
    got.body.encode()
    assert "\n" not in got.body
    if "\\u0000" not in json.dumps(body) and text.isascii():
        assert json.loads(got.body) == body


COUNTS = [
    ({"usage": {"total_tokens": 7}}, Usage(7, 0)),
    ({"usage": {"prompt_tokens": 7, "completion_tokens": 0}}, Usage(7, 0)),
    ({"meta": {"tokens": {"input_tokens": 7, "output_tokens": 2}}}, Usage(7, 2)),
    ({"meta": {"billed_units": {"search_units": 1}}}, Usage(45, 0, is_estimated=True)),
    ({"meta": "x"}, Usage(45, 0, is_estimated=True)),
    ([{"index": 0}], Usage(45, 0, is_estimated=True)),
]


@pytest.mark.parametrize(("body", "usage"), COUNTS)
def test_what_such_a_reply_counts_is_read_or_estimated_from_the_texts_that_were_sent(
    body: Any, usage: Usage
) -> None:
    got = read(body, asked=ASKED)
    assert abs(got.usage.input_tokens - usage.input_tokens) <= 5
    assert got.usage.output_tokens == usage.output_tokens
    assert got.usage.is_estimated == usage.is_estimated


def test_tools_and_schemas_are_none_of_such_a_path() -> None:
    body = {
        "model": "m",
        "query": "x",
        "tools": [{"type": "function", "function": {"name": "a", "strict": True}}],
        "tool_choice": "required",
        "response_format": {"type": "json_schema", "json_schema": {"schema": 7}},
        "background": True,
    }
    for endpoint in (RERANK, "/v1/images/generations"):
        prompt = PromptSpec(0, "a", {**body, "prompt": "x"})
        request = prepare_prompt_request(prompt, endpoint=endpoint, defaults={})
        assert isinstance(request, PreparedRequest), request
        assert json.loads(request.content) == prompt.body
        reply = read({"data": [{"url": "https://a.example"}]}, endpoint=endpoint)
        assert judge_reply(request, reply).fault is None


# -- Endpoints that answer no text

UNREADABLE: dict[str, list[Any]] = {
    "/v1/moderations": [{}, {"results": []}, {"results": "x"}, [], {"data": [1]}],
    "/v1/images/generations": [{}, {"data": []}, {"data": [{}]}, {"data": "x"}, {"results": [1]}],
    "/v1/images/edits": [{"data": None}, {"data": [{"revised_prompt": "x"}]}],
    "/v1/videos": [{}, {"id": "video_1"}, [], {"results": [1]}],
    "/v1/completions": [{}, {"choices": []}, {"choices": [{}]}],
}


@pytest.mark.parametrize(
    ("endpoint", "body"), [(path, one) for path in UNREADABLE for one in UNREADABLE[path]]
)
def test_a_200_that_is_no_reply_of_its_endpoint_is_no_success(endpoint: str, body: Any) -> None:
    try:
        got = read(body, endpoint=endpoint)
    except MalformedReply:
        return
    assert got.fault is not None


@pytest.mark.parametrize("status", ["failed", "cancelled", {"type": "failed"}])
def test_a_video_that_failed_is_an_error_of_the_server(status: Any) -> None:
    with pytest.raises(ServerError):
        read({"id": "video_1", "status": status}, endpoint="/v1/videos")


def test_an_image_of_megabytes_is_read_and_kept_whole() -> None:
    body = {"created": 1, "data": [{"b64_json": "NaNA" * 500_000, "revised_prompt": "error"}]}
    got = read(body, endpoint="/v1/images/generations")
    assert (got.fault, got.answer) == (None, None)
    assert json.loads(got.body) == body
    assert shown_in("/v1/images/generations", got.body, succeeded=True) == ""


MODERATION = {"results": [{"flagged": True}]}


def test_moderations_and_videos_cost_no_tokens_but_what_is_counted() -> None:
    asked = json.dumps({"input": "x" * 4000, "prompt": "x" * 4000})
    for endpoint in (path for path in RULES if not RULES[path].counts_tokens):
        body = MODERATION if "moderations" in endpoint else {"id": "v", "status": "queued"}
        assert read(body, endpoint=endpoint, asked=asked).usage == Usage()
        counted = {**body, "usage": {"prompt_tokens": 9}}
        assert read(counted, endpoint=endpoint, asked=asked).usage == Usage(9)


def test_every_choice_of_a_completion_is_kept_and_the_first_is_its_answer() -> None:
    choices = [{"index": n, "text": text, "finish_reason": "stop"} for n, text in enumerate("ab")]
    usage = {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    got = read({"choices": choices, "usage": usage}, endpoint="/v1/completions")
    assert (got.answer, got.finish_reason, got.usage) == ("a", "stop", Usage(2, 2))
    assert json.loads(got.body)["choices"] == choices
