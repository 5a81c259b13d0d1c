import json
from typing import Any

import pytest

from batches.engine.errors import (
    AuthError,
    FailureKind,
    InternalError,
    NetworkError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.postprocess import MAX_MESSAGE_CHARS, postprocess_exchange
from batches.engine.records import Outcome, RejectedAnswer, Rung, Usage
from batches.engine.structured.ladder import MAX_NAMED_VIOLATIONS
from tests.engine.makers import exchange, reply, request

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "tags": {"items": {"type": "string"}}},
    "required": ["n"],
}


def outcome_of(answer: str | None, *, schema: Any = SCHEMA, **changes: Any) -> Outcome:
    return postprocess_exchange(exchange(request(4, schema=schema), reply=reply(answer, **changes)))


def test_a_good_answer_succeeds_with_all_that_is_known_of_it() -> None:
    outcome = outcome_of('{"n": 1}')
    assert outcome == Outcome(
        index=4,
        custom_id="request-4",
        status="succeeded",
        status_code=200,
        request_id="req_1",
        body="{}",
        answer='{"n": 1}',
        parsed={"n": 1},
        rung=Rung.PARSED,
        finish_reason="stop",
        usage=Usage(input_tokens=5, output_tokens=7),
        calls=3,
        latency_s=0.25,
        busy_s=0.75,
        elapsed_s=2.0,
        done_at=102.0,
    )
    assert outcome.succeeded


def test_an_answer_is_parsed_but_its_text_is_kept() -> None:
    text = ' {"n": 1, "more": [null, 1.5]}\n'
    outcome = outcome_of(text)
    assert (outcome.answer, outcome.parsed) == (text, {"n": 1, "more": [None, 1.5]})


@pytest.mark.parametrize(
    ("schema", "answer", "value"),
    [(True, "null", None), ({"type": "array"}, "[1]", [1]), ({"const": "a"}, '"a"', "a")],
)
def test_an_answer_need_not_be_an_object(schema: Any, answer: str, value: Any) -> None:
    outcome = outcome_of(answer, schema=schema)
    assert (outcome.status, outcome.parsed) == ("succeeded", value)


@pytest.mark.parametrize(
    ("kind", "answer", "changes"),
    [
        (FailureKind.REFUSAL, None, {"refusal": "I cannot"}),
        (FailureKind.REFUSAL, '{"n": 1}', {"refusal": "I cannot"}),
        (FailureKind.REFUSAL, None, {"refusal": "I cannot", "finish_reason": "length"}),
        (FailureKind.TRUNCATED, '{"n": 1', {"finish_reason": "length"}),
        (FailureKind.TRUNCATED, None, {"finish_reason": "length"}),
        (FailureKind.FILTERED, '{"n"', {"finish_reason": "content_filter"}),
        (FailureKind.FILTERED, None, {"finish_reason": "content_filter"}),
        (FailureKind.EMPTY, None, {}),
        (FailureKind.EMPTY, "", {}),
        (FailureKind.EMPTY, " \n", {}),
        (FailureKind.NOT_JSON, "Sure! Here it is", {}),
        (FailureKind.NOT_JSON, "42 it is", {}),
        (FailureKind.NOT_JSON, '{"n": 1e999}', {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": NaN}', {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": Infinity}', {}),
        (FailureKind.NOT_JSON, r'{"n": 1, "a": "\ud800"}', {}),
        (FailureKind.TRUNCATED, "[" * 100_000, {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": ' + "1" * 5000 + "}", {}),
        (FailureKind.SCHEMA_VIOLATION, "{}", {}),
        (FailureKind.SCHEMA_VIOLATION, "null", {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": "1"}', {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": 1.5}', {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": true}', {}),
        (FailureKind.SCHEMA_VIOLATION, '{"n": 1, "tags": ["a", 2]}', {}),
    ],
)
def test_an_answer_of_no_use_fails_with_its_kind_and_keeps_what_was_paid_for(
    kind: FailureKind, answer: str | None, changes: dict[str, Any]
) -> None:
    outcome = outcome_of(answer, **changes)
    assert (outcome.status, outcome.kind, outcome.code) == ("failed", kind, kind.value)
    assert outcome.message
    assert len(outcome.message) <= MAX_MESSAGE_CHARS
    assert (outcome.answer, outcome.parsed) == (answer, None)
    assert (outcome.status_code, outcome.request_id, outcome.body) == (200, "req_1", "{}")
    assert outcome.usage == Usage(input_tokens=5, output_tokens=7)
    assert (outcome.calls, outcome.busy_s, outcome.elapsed_s) == (3, 0.75, 2.0)
    assert not outcome.succeeded


@pytest.mark.parametrize(
    ("answer", "changes"),
    [
        (None, {"refusal": "I cannot"}),
        ("cut o", {"finish_reason": "length"}),
        ("cut o", {"finish_reason": "content_filter"}),
        (None, {}),
        ("", {}),
        ("not JSON", {}),
        ('{"n": "1"}', {}),
    ],
)
def test_without_a_schema_whatever_was_answered_is_the_answer(
    answer: str | None, changes: dict[str, Any]
) -> None:
    outcome = outcome_of(answer, schema=None, **changes)
    assert (outcome.status, outcome.kind, outcome.code) == ("succeeded", None, "")
    assert (outcome.answer, outcome.parsed, outcome.message) == (answer, None, "")


def test_a_violation_is_named_with_its_place() -> None:
    message = outcome_of('{"n": "x", "tags": ["a", 2]}').message
    assert 'n: "x" is not of type "integer"' in message
    assert 'tags.1: 2 is not of type "string"' in message
    assert outcome_of("null").message == 'answer: null is not of type "object"'


def test_many_violations_are_counted_rather_than_named() -> None:
    message = outcome_of(json.dumps({"n": 1, "tags": [0] * 12})).message
    assert message.count("is not of type") == MAX_NAMED_VIOLATIONS
    assert message.endswith("and 7 more")


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        (r'{"\u0000": 1}', {"additionalProperties": {"type": "string"}}),
        (r'{"a": "\u0000"}', {"additionalProperties": {"type": "integer"}}),
        ('{"a\\nb": 1}', {"additionalProperties": {"type": "string"}}),
        (json.dumps({"x" * 5000: 1}), {"additionalProperties": {"type": "string"}}),
        (json.dumps("x" * 100_000), {"type": "integer"}),
    ],
)
def test_the_message_of_a_violation_can_be_stored(answer: str, schema: Any) -> None:
    outcome = outcome_of(answer, schema=schema)
    assert outcome.kind is FailureKind.SCHEMA_VIOLATION
    assert "\x00" not in outcome.message
    assert len(outcome.message) <= MAX_MESSAGE_CHARS


def test_the_words_of_a_refusal_are_kept() -> None:
    assert "I cannot do that" in outcome_of(None, refusal="I cannot do that").message
    assert len(outcome_of(None, refusal="no " * 5000).message) <= MAX_MESSAGE_CHARS


def test_a_failed_call_is_an_outcome_with_what_the_provider_said() -> None:
    error = RequestRefused(
        "HTTP 400: too long",
        status_code=400,
        code="context_length_exceeded",
        request_id="req_9",
        body='{"error":{}}',
    )
    outcome = postprocess_exchange(exchange(request(4), error=error))
    assert outcome == Outcome(
        index=4,
        custom_id="request-4",
        status="failed",
        kind=FailureKind.REQUEST,
        code="context_length_exceeded",
        message="HTTP 400: too long",
        status_code=400,
        request_id="req_9",
        body='{"error":{}}',
        calls=3,
        latency_s=0.25,
        busy_s=0.75,
        elapsed_s=2.0,
        done_at=102.0,
    )


@pytest.mark.parametrize("cls", [AuthError, RateLimited, ServerError, NetworkError])
def test_a_failed_call_without_a_code_has_its_kind_for_one(
    cls: type[ServerError],
) -> None:
    outcome = postprocess_exchange(exchange(error=cls("m" * 5000)))
    assert (outcome.kind, outcome.code) == (cls.kind, cls.kind.value)
    assert len(outcome.message) == MAX_MESSAGE_CHARS


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_the_message_of_a_failed_call_can_be_stored(text: str) -> None:
    # An exception of a library may quote anything.
    outcome = postprocess_exchange(exchange(error=InternalError(f"ValueError: {text}")))
    assert "\x00" not in outcome.message
    outcome.message.encode()


def test_a_mistake_of_ours_is_an_outcome_too_for_the_call_is_paid() -> None:
    outcome = postprocess_exchange(exchange())
    assert outcome.kind == FailureKind.INTERNAL
    assert "a reply with its judgement, or an error" in outcome.message


def test_the_answers_before_the_one_in_the_reply_are_kept() -> None:
    sent_back = (RejectedAnswer("first", "a"), RejectedAnswer("second", "b"))
    asked = request(4, schema=SCHEMA, rejected=sent_back)
    assert postprocess_exchange(exchange(asked, reply=reply("third"))).rejected == sent_back
    # The third call failed: the reply is the second answer.
    failed = exchange(asked, reply=reply("second"), error=ServerError("HTTP 500"))
    assert postprocess_exchange(failed).rejected == sent_back[:1]
