import json
from dataclasses import astuple
from typing import Any

import pytest

from batches.engine.errors import MalformedReply, ProviderError, ServerError
from batches.engine.records import ENDPOINTS, Endpoint, Reply, Usage
from batches.engine.replies import MAX_REQUEST_ID_CHARS, read_reply

CHAT: Endpoint = "/v1/chat/completions"
RESPONSES: Endpoint = "/v1/responses"
EMBEDDINGS: Endpoint = "/v1/embeddings"

# What the database has room for: a reply that says more must not cost its neighbours their flush.
MOST_TOKENS = 2**31 - 1
MOST_FINISH_REASON_CHARS = 64


def read(
    body: Any,
    *,
    endpoint: Endpoint = CHAT,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(endpoint, status_code=status_code, headers=headers or {}, raw=raw)


def chat(content: Any = "hello", *, finish_reason: Any = "stop", **changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": 11,
            "completion_tokens": 7,
            "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        **changes,
    }


def response(*texts: str, **changes: Any) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {
        "id": "resp_1",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": [
            {"type": "reasoning", "summary": [], "content": [{"text": "thinking"}]},
            {"type": "message", "role": "assistant", "content": parts},
        ],
        "usage": {
            "input_tokens": 11,
            "output_tokens": 7,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 3},
        },
        **changes,
    }


def embeddings(**changes: Any) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
        "usage": {"prompt_tokens": 11, "total_tokens": 11},
        **changes,
    }


GOOD: dict[Endpoint, dict[str, Any]] = {
    CHAT: chat(),
    RESPONSES: response("hello"),
    EMBEDDINGS: embeddings(),
}


def test_there_is_a_good_reply_here_for_every_endpoint() -> None:
    assert set(GOOD) == set(ENDPOINTS)


def test_a_chat_completion_is_read() -> None:
    got = read(chat("hello"), headers={"x-request-id": "req_9"})
    assert (got.status_code, got.request_id, got.answer) == (200, "req_9", "hello")
    assert (got.finish_reason, got.refusal) == ("stop", None)
    assert got.usage == Usage(11, 7, cached_tokens=4, reasoning_tokens=3)
    assert json.loads(got.body) == chat("hello")


def test_an_answer_that_comes_in_parts_is_read_from_its_texts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "let me see"}]}
    spoken = {"type": "reasoning", "text": "hm"}
    parts = [thought, spoken, {"type": "text", "text": "4"}, {"type": "text", "text": "2"}]
    assert read(chat(parts)).answer == "42"
    assert read(chat([thought])).answer is None


def test_a_response_is_read_from_its_messages_alone() -> None:
    got = read(response("hel", "lo"), endpoint=RESPONSES)
    assert (got.answer, got.finish_reason, got.refusal) == ("hello", "stop", None)
    assert got.usage == Usage(11, 7, cached_tokens=4, reasoning_tokens=3)
    assert json.loads(got.body) == response("hel", "lo")


def test_embeddings_are_read_and_have_no_text_for_an_answer() -> None:
    got = read(embeddings(), endpoint=EMBEDDINGS)
    assert (got.answer, got.finish_reason, got.refusal) == (None, "stop", None)
    assert got.usage == Usage(11)
    assert json.loads(got.body) == embeddings()


@pytest.mark.parametrize(
    ("body", "endpoint", "finish_reason"),
    [
        (chat(finish_reason="length"), CHAT, "length"),
        (chat(finish_reason="content_filter"), CHAT, "content_filter"),
        (chat(finish_reason=None), CHAT, ""),
        (
            response("a", status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            RESPONSES,
            "length",
        ),
        (
            response("a", status="incomplete", incomplete_details={"reason": "content_filter"}),
            RESPONSES,
            "content_filter",
        ),
    ],
)
def test_both_dialects_name_the_end_of_an_answer_alike(
    body: dict[str, Any], endpoint: Endpoint, finish_reason: str
) -> None:
    assert read(body, endpoint=endpoint).finish_reason == finish_reason


def test_a_refusal_is_read_in_both_dialects() -> None:
    refusing = chat(None)
    refusing["choices"][0]["message"]["refusal"] = "I cannot"
    got = read(refusing)
    assert (got.answer, got.refusal) == (None, "I cannot")
    refused = response(output=[{"type": "message", "content": [{"refusal": "I cannot"}]}])
    got = read(refused, endpoint=RESPONSES)
    assert (got.answer, got.refusal) == (None, "I cannot")


def test_a_call_of_a_tool_is_a_reply_without_text() -> None:
    calling = chat(None, finish_reason="tool_calls")
    calling["choices"][0]["message"]["tool_calls"] = [{"id": "call_1"}]
    assert read(calling).answer is None
    called = response(output=[{"type": "function_call", "name": "f", "arguments": "{}"}])
    assert read(called, endpoint=RESPONSES).answer is None


def test_a_response_that_failed_is_an_error_of_the_server_with_its_body() -> None:
    failed = response(output=[], status="failed", error={"code": "server_error", "message": "oh"})
    with pytest.raises(ServerError, match="oh") as caught:
        read(failed, endpoint=RESPONSES)
    assert json.loads(caught.value.body or "") == failed


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("usage", [None, {}])
def test_a_reply_without_usage_counts_no_tokens(endpoint: Endpoint, usage: Any) -> None:
    assert read({**GOOD[endpoint], "usage": usage}, endpoint=endpoint).usage == Usage()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("count", [None, -5, 10**25, 1.5, "many", 1e308])
def test_an_odd_count_of_tokens_neither_costs_the_answer_nor_breaks_the_storing(
    endpoint: Endpoint, count: Any
) -> None:
    fields = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    details = {"cached_tokens": count, "reasoning_tokens": count}
    usage = dict.fromkeys(fields, count) | {f"{name}_details": details for name in fields}
    got = read({**GOOD[endpoint], "usage": usage}, endpoint=endpoint)
    assert got.answer == ("hello" if endpoint != EMBEDDINGS else None)
    assert all(0 <= number <= MOST_TOKENS for number in astuple(got.usage))


def test_a_finish_reason_is_no_longer_than_there_is_room_for() -> None:
    got = read(chat(finish_reason="s" * 500))
    assert len(got.finish_reason) <= MOST_FINISH_REASON_CHARS


def test_a_request_id_can_be_stored() -> None:
    got = read(chat(), headers={"x-request-id": "r\x00" * 500})
    assert got.request_id == "r" * MAX_REQUEST_ID_CHARS


MALFORMED = {
    "nothing": b"",
    "only spaces": b"  \n ",
    "a page": b"<html><body>Bad gateway</body></html>",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"hello"',
    "another object": b'{"detail": "hello"}',
    "cut off": json.dumps(GOOD[CHAT]).encode()[:-1],
    "cut off in the middle": json.dumps(GOOD[CHAT]).encode()[:60],
    "something after it": json.dumps(GOOD[CHAT]).encode() + b"{}",
    "NUL after it": json.dumps(GOOD[CHAT]).encode() + b"\x00",
    "a raw NUL in a text": json.dumps(GOOD[CHAT]).encode().replace(b"hello", b"he\x00llo"),
    "UTF-16": json.dumps(GOOD[CHAT]).encode("utf-16"),
    "Latin-1": json.dumps(GOOD[CHAT]).encode().replace(b"hello", b"h\xe9llo"),
    "an encoded surrogate": json.dumps(GOOD[CHAT]).encode().replace(b"hello", b"\xed\xa0\x80"),
    "100,000 brackets": b"[" * 100_000,
    "deeper than any parser goes": b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "the same on two lines": b'{"data":\n' + b"[" * 5000 + b"]" * 5000 + b"}",
    "an integer of 5,000 digits": b'{"output":[],"data":[' + b"1" * 5000 + b"]}",
    "the same on two lines, integer": b'{"output":[],\n"data":[' + b"1" * 5000 + b"]}",
    "no choices": json.dumps(chat(choices=[])).encode(),
    "a choice without a message": json.dumps(chat(choices=[{"text": "a"}])).encode(),
    "output that is no list": json.dumps(response(output={})).encode(),
    "no data": json.dumps(embeddings(data=[])).encode(),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_200_that_is_no_reply_is_malformed_and_may_be_repeated(
    endpoint: Endpoint, raw: bytes
) -> None:
    with pytest.raises(MalformedReply) as caught:
        read(raw, endpoint=endpoint, headers={"x-request-id": "req_9"})
    error = caught.value
    assert (error.status_code, error.request_id, error.body) == (200, "req_9", None)
    assert len(error.message) < 500
    assert "\n" not in error.message


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("other", ENDPOINTS)
def test_the_reply_of_another_endpoint_is_malformed(endpoint: Endpoint, other: Endpoint) -> None:
    if endpoint == other:
        assert read(GOOD[other], endpoint=endpoint).status_code == 200
        return
    with pytest.raises(MalformedReply):
        read(GOOD[other], endpoint=endpoint)


def test_the_message_of_a_malformed_reply_names_the_place_but_not_the_content() -> None:
    with pytest.raises(MalformedReply, match=r"choices\.0\.message\.content") as caught:
        read(chat({"secret": 1}))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("status_code", [100, 199, 201, 202, 204, 206, 299])
def test_only_a_200_is_a_reply(endpoint: Endpoint, status_code: int) -> None:
    with pytest.raises(ProviderError):
        read(GOOD[endpoint], endpoint=endpoint, status_code=status_code)
