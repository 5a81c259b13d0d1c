import json
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.endpoints import ENDPOINTS
from batches.engine.errors import FailureKind, MalformedReply, ProviderError, ServerError
from batches.engine.records import Reply, Usage
from batches.engine.replies.errors import MAX_ERROR_BODY_BYTES, MAX_REQUEST_ID_CHARS
from batches.engine.replies.replies import read_reply

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"

# What the database has room for: a reply that says more must not cost its neighbours their flush.
MOST_TOKENS = 2**31 - 1
MOST_FINISH_REASON_CHARS = 64


def read(
    body: Any,
    *,
    endpoint: str = CHAT,
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


GOOD: dict[str, dict[str, Any]] = {
    CHAT: chat(),
    RESPONSES: response("hello"),
    EMBEDDINGS: embeddings(),
    "/v1/completions": chat(choices=[{"index": 0, "text": "hello", "finish_reason": "stop"}]),
    "/v1/moderations": {"id": "modr-1", "model": "m", "results": [{"flagged": False}]},
    "/v1/images/generations": {"created": 1, "data": [{"b64_json": "aGk="}]},
    "/v1/images/edits": {"created": 1, "data": [{"url": "https://example.com/a.png"}]},
    "/v1/videos": {"id": "video_1", "object": "video", "status": "queued", "progress": 0},
}
TALK = (CHAT, RESPONSES, "/v1/completions")
COUNTED = (CHAT, RESPONSES, EMBEDDINGS)


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
    body: dict[str, Any], endpoint: str, finish_reason: str
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
@pytest.mark.parametrize("count", [None, -5, 10**25, 1.5, "many", 1e308])
def test_an_odd_count_of_tokens_neither_costs_the_answer_nor_breaks_the_storing(
    endpoint: str, count: Any
) -> None:
    fields = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    details = {"cached_tokens": count, "reasoning_tokens": count}
    usage = dict.fromkeys(fields, count) | {f"{name}_details": details for name in fields}
    got = read({**GOOD[endpoint], "usage": usage}, endpoint=endpoint)
    assert got.answer == ("hello" if endpoint in TALK else None)
    assert all(0 <= number <= MOST_TOKENS for number in astuple(got.usage))


def test_a_finish_reason_is_no_longer_than_there_is_room_for() -> None:
    got = read(chat(finish_reason="s" * 500))
    assert len(got.finish_reason) <= MOST_FINISH_REASON_CHARS


def test_a_request_id_can_be_stored() -> None:
    got = read(chat(), headers={"x-request-id": "r\x00" * 500})
    assert got.request_id == "r" * MAX_REQUEST_ID_CHARS


WHOLE = json.dumps(GOOD[CHAT]).encode()
MALFORMED = {
    "nothing": b"",
    "only spaces": b"  \n ",
    "a page": b"<html><body>Bad gateway</body></html>",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"hello"',
    "another object": b'{"detail": "hello"}',
    "cut off": WHOLE[:-1],
    "cut off in the middle": WHOLE[:60],
    "a stream that is cut off": b'data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n',
    "100,000 brackets": b"[" * 100_000,
    "deeper than any parser goes": b'{"data":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "the same on two lines": b'{"data":\n' + b"[" * 5000 + b"]" * 5000 + b"}",
    "an integer of 5,000 digits": b'{"output":[],"data":[' + b"1" * 5000 + b"]}",
    "the same on two lines, integer": b'{"output":[],\n"data":[' + b"1" * 5000 + b"]}",
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_a_200_that_is_no_whole_reply_is_malformed_and_keeps_its_body(
    endpoint: str, raw: bytes
) -> None:
    with pytest.raises(MalformedReply) as caught:
        read(raw, endpoint=endpoint, headers={"x-request-id": "req_9"})
    error = caught.value
    assert (error.status_code, error.request_id) == (200, "req_9")
    assert len(error.message) <= 500
    assert "\n" not in error.message
    kept = json.loads(error.body or "")
    assert kept["error"]["code"] == "malformed"
    assert len(error.body or "") <= 2 * MAX_ERROR_BODY_BYTES
    if raw.strip():
        body = kept["body"]
        start = body if isinstance(body, str) else json.dumps(body)
        assert start[:4] == raw.decode().strip()[:4]


PAID = {
    "no choices": chat(choices=[]),
    "an empty choice": chat(choices=[{"finish_reason": "stop"}]),
    "a choice that is a number": chat(choices=[7]),
    "output that is a number": response(output=7),
    "no data": embeddings(data=[]),
}


@pytest.mark.parametrize("endpoint", COUNTED)
@pytest.mark.parametrize("body", PAID.values(), ids=PAID)
def test_a_whole_reply_that_was_paid_for_is_counted_and_not_paid_for_again(
    endpoint: str, body: dict[str, Any]
) -> None:
    got = read(body, endpoint=endpoint)
    assert got.fault is not None
    assert got.fault.kind is FailureKind.MALFORMED
    assert "cannot be read" in got.fault.message
    assert got.usage.input_tokens == 11
    assert json.loads(got.body) == body


@pytest.mark.parametrize("endpoint", COUNTED)
@pytest.mark.parametrize("other", COUNTED)
def test_the_reply_of_another_endpoint_is_of_no_use(endpoint: str, other: str) -> None:
    got = read(GOOD[other], endpoint=endpoint)
    assert (got.fault is None) == (endpoint == other)
    assert got.body == json.dumps(GOOD[other])


@pytest.mark.parametrize("status_code", [200, 201, 202, 203, 206, 207, 226, 299])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_whole_reply_is_a_reply_with_any_status_of_success(
    endpoint: str, status_code: int
) -> None:
    got = read(GOOD[endpoint], endpoint=endpoint, status_code=status_code)
    assert (got.status_code, got.fault, got.notes) == (status_code, None, ())


@pytest.mark.parametrize("status_code", [200, 201, 202, 204, 205])
def test_a_success_without_a_body_is_malformed(status_code: int) -> None:
    with pytest.raises(MalformedReply, match=f"HTTP {status_code} with an invalid body"):
        read(b"", status_code=status_code)


@pytest.mark.parametrize("status_code", [100, 199, 300, 304])
def test_no_other_status_is_a_reply(status_code: int) -> None:
    with pytest.raises(ProviderError):
        read(GOOD[CHAT], status_code=status_code)


ODD_BYTES = {
    "a byte order mark": (b"\xef\xbb\xbf" + WHOLE, False),
    "UTF-16": (WHOLE.decode().encode("utf-16"), False),
    "UTF-16 without a mark": (WHOLE.decode().encode("utf-16-le"), False),
    "UTF-32": (WHOLE.decode().encode("utf-32"), False),
    "blank lines before it": (b"\n\n  \r\n" + WHOLE, False),
    "NUL after it": (WHOLE + b"\x00\x00", False),
    "something after it": (WHOLE + b"{}", True),
    "the end of a stream after it": (WHOLE + b"\n\ndata: [DONE]\n\n", True),
    "in one event": (b"data: " + WHOLE + b"\n\ndata: [DONE]\n\n", True),
    "a list of one": (b"[" + WHOLE + b"]", False),
    "in a field": (b'{"success": true, "result": ' + WHOLE + b"}", False),
    "in two fields": (b'{"data": {"response": ' + WHOLE + b"}}", False),
    "JSON as a text": (json.dumps(WHOLE.decode()).encode(), True),
    "in a field as text": (json.dumps({"statusCode": 200, "body": WHOLE.decode()}).encode(), False),
    "a byte that is no UTF-8 elsewhere": (WHOLE.replace(b"chatcmpl-1", b"\xe9"), True),
}


@pytest.mark.parametrize(("raw", "noted"), ODD_BYTES.values(), ids=ODD_BYTES)
def test_odd_bytes_around_a_reply_cost_nothing(raw: bytes, *, noted: bool) -> None:
    got = read(raw)
    assert (got.answer, got.finish_reason, got.fault) == ("hello", "stop", None)
    assert (got.usage.input_tokens, got.usage.output_tokens) == (11, 7)
    assert bool(got.notes) == noted
    json.loads(got.body)
    assert "\n" not in got.body


def test_a_raw_control_character_in_a_text_costs_nothing() -> None:
    assert read(WHOLE.replace(b"hello", b"he\nl\tlo")).answer == "he\nl\tlo"
    assert read(WHOLE.replace(b"hello", b"he\x00llo")).answer == "he\ufffdllo"


@pytest.mark.parametrize("damage", [b"h\xe9llo", b"\xed\xa0\x80", b"hello\xf0\x9f\x98"])
def test_an_answer_with_bytes_that_are_lost_is_not_taken_for_whole(damage: bytes) -> None:
    got = read(WHOLE.replace(b"hello", damage))
    assert got.fault is not None
    assert got.fault.kind is FailureKind.MALFORMED
    assert (got.usage.input_tokens, got.usage.output_tokens) == (11, 7)


STREAMED = (
    b": keep-alive\n\n"
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"hel"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7}}\n\n'
    b"data: [DONE]\n\n"
)


def test_a_stream_that_was_not_asked_for_is_joined() -> None:
    got = read(STREAMED)
    assert (got.answer, got.finish_reason) == ("hello", "stop")
    assert (got.usage.input_tokens, got.usage.output_tokens) == (11, 7)
    assert json.loads(got.body)["choices"][0]["message"]["content"] == "hello"


def test_a_streamed_response_is_its_last_event() -> None:
    events: list[Any] = [
        {"type": "response.created", "response": response(status="in_progress", output=[])},
        {"type": "response.output_text.delta", "delta": "hel"},
        {"type": "response.completed", "response": response("hello")},
    ]
    raw = b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)
    assert read(raw, endpoint=RESPONSES).answer == "hello"


def with_message(**changes: Any) -> dict[str, Any]:
    body = chat()
    body["choices"][0]["message"] |= changes
    return body


PART = {"type": "text", "text": "hello"}
ODD_FIELDS = {
    "finish_reason an object": chat(finish_reason={"type": "stop"}),
    "finish_reason a nested object": chat(finish_reason={"reason": {"value": "stop"}}),
    "finish_reason a list": chat(finish_reason=["stop"]),
    "usage a list": chat(usage=[GOOD[CHAT]["usage"]]),
    "details a number": chat(
        usage={"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": 4}
    ),
    "details a list": chat(
        usage={"prompt_tokens": 11, "completion_tokens": 7, "completion_tokens_details": [3]}
    ),
    "refusal false": with_message(refusal=False),
    "refusal empty": with_message(refusal=""),
    "refusal 0": with_message(refusal=0),
    "refusal an empty object": with_message(refusal={}),
    "content a list of texts": chat(["hel", "lo"]),
    "content a list of parts": chat([PART]),
    "content a list of texts and parts": chat(["hel", {"type": "output_text", "text": "lo"}]),
    "content a part": chat(PART),
    "content an object with text": chat({"text": "hello"}),
    "text an object": chat([{"type": "text", "text": {"value": "hello", "annotations": []}}]),
    "role missing": chat(
        choices=[{"message": {"content": "hello"}, "finish_reason": "stop"}], id=None
    ),
    "choices an object": chat(choices=GOOD[CHAT]["choices"][0]),
    "choices by their place": chat(choices={"0": GOOD[CHAT]["choices"][0]}),
    "the legacy text": chat(choices=[{"text": "hello", "finish_reason": "stop"}]),
    "a message that is text": chat(choices=[{"message": "hello", "finish_reason": "stop"}]),
    "messages": chat(choices=[{"messages": [{"content": "hello"}], "finish_reason": "stop"}]),
    "a delta": chat(choices=[{"delta": {"content": "hello"}, "finish_reason": "stop"}]),
    "tool_calls a text": with_message(tool_calls="none"),
    "tool_calls a number": with_message(tool_calls=0),
    "error false": chat(error=False),
    "error empty": chat(error={}),
    "error without words": chat(error={"message": None, "type": None, "code": None}),
    "error that is none": chat(error="none"),
    "content with parts": chat({"role": "model", "parts": [{"text": "hello"}]}),
    "error a success": chat(error={"code": 0, "message": "success"}),
    "base_resp a success": chat(base_resp={"status_code": 0, "status_msg": "success"}),
    "created a text": chat(created="now", model=5, system_fingerprint=[]),
}


@pytest.mark.parametrize("body", ODD_FIELDS.values(), ids=ODD_FIELDS)
def test_an_odd_field_of_a_chat_does_not_cost_the_answer(body: dict[str, Any]) -> None:
    got = read(body)
    assert (got.answer, got.finish_reason, got.refusal) == ("hello", "stop", None)
    assert (got.usage.input_tokens, got.usage.output_tokens) == (11, 7)
    assert (got.fault, got.tool_calls) == (None, ())
    assert json.loads(got.body) == body


@pytest.mark.parametrize(
    ("reason", "text"),
    [(None, ""), (True, ""), (2, "2"), (1.5, "1.5"), ({}, ""), ([], ""), ({"x": [2]}, "2")],
)
def test_a_finish_reason_is_text_whatever_it_came_as(reason: Any, text: str) -> None:
    assert read(chat(finish_reason=reason)).finish_reason == text


@pytest.mark.parametrize("content", [{"n": 1}, [1, 2], 42, True, [{"n": 1}], {"text": {"n": 1}}])
def test_an_answer_that_came_as_json_is_taken_as_json(content: Any) -> None:
    got = read(chat(content))
    assert json.loads(got.answer or "") == content
    assert got.notes


@pytest.mark.parametrize(
    "refusal",
    ["I cannot", {"message": "I cannot"}, [{"refusal": "I cannot"}], ["I cannot"]],
)
def test_a_refusal_is_text_whatever_it_came_as(refusal: Any) -> None:
    assert read(with_message(refusal=refusal)).refusal == "I cannot"
    assert read(with_message(refusal=True)).refusal == "no reason given"


RESPONSE_ITEM = {"type": "message", "content": "hello"}
ODD_RESPONSES = {
    "content a text": response(output=[RESPONSE_ITEM]),
    "content a list of texts": response(output=[{"type": "message", "content": ["hel", "lo"]}]),
    "content a part": response(
        output=[{"type": "message", "content": {"type": "output_text", "text": "hello"}}]
    ),
    "an item without a type": response(output=[{"role": "assistant", "content": "hello"}]),
    "output one item": response(output=RESPONSE_ITEM),
    "output a text": response(output="hello"),
    "odd items": response(output=[None, 5, "x", RESPONSE_ITEM]),
    "output_text alone": response(output=None, output_text="hello"),
    "incomplete_details empty": response("hello", incomplete_details={}),
    "error empty": response("hello", error={}),
    "no status": response("hello", status=None),
    "status an object": response("hello", status={"type": "completed"}),
    "inside a field": {"response": response("hello")},
}


@pytest.mark.parametrize("body", ODD_RESPONSES.values(), ids=ODD_RESPONSES)
def test_an_odd_field_of_a_response_does_not_cost_the_answer(body: dict[str, Any]) -> None:
    got = read(body, endpoint=RESPONSES)
    assert (got.answer, got.finish_reason, got.refusal) == ("hello", "stop", None)
    assert (got.usage.input_tokens, got.fault) == (11, None)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"status": "queued"}, FailureKind.MALFORMED),
        ({"status": "in_progress"}, FailureKind.MALFORMED),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            FailureKind.TRUNCATED,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            FailureKind.FILTERED,
        ),
        ({"status": "incomplete"}, FailureKind.MALFORMED),
        ({"status": "expired"}, FailureKind.MALFORMED),
    ],
)
@pytest.mark.parametrize("output", [[], None, [{"type": "reasoning", "summary": []}]])
def test_an_unfinished_response_without_an_answer_has_a_fault(
    changes: dict[str, Any], kind: FailureKind, output: Any
) -> None:
    got = read(response(output=output, object="response", **changes), endpoint=RESPONSES)
    assert got.fault is not None
    assert got.fault.kind is kind
    assert str(changes["status"]) in got.fault.message
    assert got.answer is None


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_an_unfinished_response_is_none_even_with_a_part_of_its_answer(status: str) -> None:
    assert read(response("hel", status=status), endpoint=RESPONSES).fault is not None


@pytest.mark.parametrize("status", ["cancelled", "failed"])
@pytest.mark.parametrize("output", [[], None])
def test_a_response_that_was_given_up_is_an_error_of_the_server(status: str, output: Any) -> None:
    with pytest.raises(ServerError, match=status):
        read(response(output=output, status=status, object="response"), endpoint=RESPONSES)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "type", "message", "content", "error", "code", "0", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
PLACES: tuple[tuple[Any, ...], ...] = (
    *(("usage",), ("usage", "prompt_tokens"), ("usage", "prompt_tokens_details")),
    *(("choices", 0, "finish_reason"), ("choices", 0, "message", "tool_calls")),
    *(("id",), ("created",), ("model",), ("object",), ("choices", 0, "logprobs")),
)


@given(value=any_json, place=st.sampled_from(PLACES))
def test_whatever_stands_in_a_side_field_the_answer_is_kept(
    value: Any, place: tuple[Any, ...]
) -> None:
    body = chat("hello")
    holder = body
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    if body["object"] == "error":
        return
    got = read(body)
    assert (got.answer, got.fault) == ("hello", None)
    got.finish_reason.encode()
    assert len(got.finish_reason) <= MOST_FINISH_REASON_CHARS
    assert all(0 <= number <= MOST_TOKENS for number in astuple(got.usage))
    json.loads(got.body, parse_constant=pytest.fail)


@given(value=any_json, endpoint=st.sampled_from(ENDPOINTS))
def test_any_json_is_a_reply_or_an_error_that_can_be_stored(value: Any, endpoint: str) -> None:
    for body in (
        value,
        {"body": "{" + str(value)},
        {"choices": value},
        {"output": value},
        {"data": value, "usage": value},
    ):
        try:
            read(body, endpoint=endpoint).body.encode()
        except ProviderError as error:
            (error.message + (error.code or "") + (error.body or "")).encode()
