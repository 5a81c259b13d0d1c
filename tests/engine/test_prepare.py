import json
from collections.abc import Mapping
from typing import Any

import pytest

from batches.engine.endpoints import ENDPOINTS, RULES
from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.prepare import (
    FORBIDDEN_FIELDS,
    prepare_prompt_request,
    prompt_body,
    with_response_schema,
)
from batches.engine.records import Outcome, PreparedRequest, PromptSpec
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.asked import answer_schema
from batches.engine.structured.known_schemas import KnownSchemas
from tests.engine.makers import MODEL

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
MESSAGES = [{"role": "user", "content": "hi"}]


def prepare(
    body: Mapping[str, Any],
    *,
    endpoint: str = CHAT,
    defaults: Mapping[str, Any] | None = None,
) -> PreparedRequest | Outcome:
    prompt = PromptSpec(7, "seven", body)
    return prepare_prompt_request(prompt, endpoint=endpoint, defaults=defaults or {})


def prepared(
    body: Mapping[str, Any],
    *,
    endpoint: str = CHAT,
    defaults: Mapping[str, Any] | None = None,
) -> PreparedRequest:
    request = prepare(body, endpoint=endpoint, defaults=defaults)
    assert isinstance(request, PreparedRequest), request
    return request


def rejection(
    body: Mapping[str, Any],
    *,
    endpoint: str = CHAT,
    defaults: Mapping[str, Any] | None = None,
) -> Outcome:
    outcome = prepare(body, endpoint=endpoint, defaults=defaults)
    assert isinstance(outcome, Outcome), outcome
    return outcome


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_text_becomes_a_request_of_its_endpoint(endpoint: str) -> None:
    request = prepared(prompt_body("hi", endpoint), endpoint=endpoint, defaults={"model": MODEL})
    payload: Any = MESSAGES if endpoint == CHAT else "hi"
    assert json.loads(request.content) == {"model": MODEL, RULES[endpoint].asked_in: payload}
    assert (request.index, request.custom_id, request.endpoint) == (7, "seven", endpoint)
    assert request.response_model is None


def test_a_body_lies_over_the_defaults_and_changes_neither() -> None:
    body: dict[str, Any] = {"messages": MESSAGES, "temperature": 0, "n": None}
    defaults = {"model": MODEL, "temperature": 1, "n": 2, "top_p": 0.5}
    before = json.dumps([body, defaults])
    sent = json.loads(prepared(body, defaults=defaults).content)
    assert sent == {
        "model": MODEL,
        "messages": MESSAGES,
        "temperature": 0,
        "n": None,
        "top_p": 0.5,
    }
    assert json.dumps([body, defaults]) == before


def test_a_request_is_sent_as_compact_utf8_json() -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "né 😀\x00\n"}]}
    content = prepared(body).content
    assert content.startswith(b'{"model":"test-model","messages":[{"role":"user","content":"n\xc3')
    assert json.loads(content) == body


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": MESSAGES}, "body.model", "missing_required_parameter"),
        ({"messages": MESSAGES, "model": ""}, "body.model", "missing_required_parameter"),
        ({"messages": MESSAGES, "model": 5}, "body.model", "missing_required_parameter"),
        ({"messages": MESSAGES, "model": None}, "body.model", "missing_required_parameter"),
        ({"model": MODEL}, "body.messages", "missing_required_parameter"),
        ({"model": MODEL, "messages": []}, "body.messages", "missing_required_parameter"),
        ({"model": MODEL, "messages": "hi"}, "body.messages", "invalid_type"),
        ({"model": MODEL, "messages": {"role": "user"}}, "body.messages", "invalid_type"),
        ({"model": MODEL, "messages": [MESSAGES[0], "hi"]}, "body.messages", "invalid_type"),
        (
            {"model": MODEL, "messages": MESSAGES, "stream": True},
            "body.stream",
            "streaming_unsupported",
        ),
        ({"model": MODEL, "messages": MESSAGES, "x": float("nan")}, "body", "invalid_value"),
        ({"model": MODEL, "messages": MESSAGES, "x": float("-inf")}, "body", "invalid_value"),
        ({"model": MODEL, "messages": MESSAGES, "x": "\ud800"}, "body", "invalid_value"),
        ({"model": MODEL, "messages": MESSAGES, "x": {1, 2}}, "body", "invalid_value"),
        ({"model": MODEL, "messages": MESSAGES, "x": b"bytes"}, "body", "invalid_value"),
    ],
)
def test_a_body_that_no_provider_should_get_is_rejected_with_the_field_at_fault(
    body: dict[str, Any], param: str, code: str
) -> None:
    outcome = rejection(body)
    assert (outcome.index, outcome.custom_id) == (7, "seven")
    assert (outcome.status, outcome.kind, outcome.code) == ("failed", FailureKind.REJECTED, code)
    assert f"'{param}" in outcome.message
    assert (outcome.calls, outcome.done_at) == (0, None)
    outcome.message.encode()


@pytest.mark.parametrize("endpoint", [RESPONSES, EMBEDDINGS])
@pytest.mark.parametrize("body", [{}, {"input": ""}, {"input": []}, {"messages": MESSAGES}])
def test_the_payload_of_an_endpoint_is_required(endpoint: str, body: dict[str, Any]) -> None:
    outcome = rejection({"model": MODEL, **body}, endpoint=endpoint)
    assert "'body.input'" in outcome.message
    assert outcome.code == ("empty_input" if "input" in body else "missing_required_parameter")


def test_a_stream_that_is_switched_off_is_allowed() -> None:
    request = prepared({"model": MODEL, "messages": MESSAGES, "stream": False})
    assert json.loads(request.content)["stream"] is False


@pytest.mark.parametrize("endpoint", [path for path in ENDPOINTS if RULES[path].can_defer])
@pytest.mark.parametrize(("value", "shown"), [(True, "true"), (1, "1"), ("yes", "'yes'")])
def test_an_answer_in_the_background_is_rejected_by_name_and_value(
    endpoint: str, value: Any, shown: str
) -> None:
    body = {"model": MODEL, **prompt_body("hi", endpoint), "background": value}
    outcome = rejection(body, endpoint=endpoint)
    assert outcome.code == "unsupported_value"
    assert "'body.background'" in outcome.message
    assert shown in outcome.message
    assert "set it to false" in outcome.message
    prepared({**body, "background": False}, endpoint=endpoint)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("field", sorted(FORBIDDEN_FIELDS))
@pytest.mark.parametrize("in_defaults", [True, False])
def test_no_prompt_chooses_where_it_is_sent(
    endpoint: str, field: str, *, in_defaults: bool
) -> None:
    body = {"model": MODEL, **prompt_body("hi", endpoint)}
    extra = {field: "http://evil.example"}
    outcome = (
        rejection(body, endpoint=endpoint, defaults=extra)
        if in_defaults
        else rejection({**body, **extra}, endpoint=endpoint)
    )
    assert f"'body.{field}'" in outcome.message
    assert "evil" not in outcome.message


def test_the_fields_that_gateways_take_for_a_destination_are_forbidden() -> None:
    assert {"api_base", "base_url", "api_key", "extra_headers"} <= FORBIDDEN_FIELDS


def test_a_body_deeper_than_a_parser_goes_is_rejected() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    outcome = rejection({"model": MODEL, "messages": MESSAGES, "x": deep})
    assert "'body'" in outcome.message


def chat_format(described: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def responses_format(described: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": {"format": {"type": "json_schema", **described}}}


@pytest.mark.parametrize("schema", [SCHEMA, True, False, {}, {"type": "array"}])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_the_schema_asked_for_becomes_the_model_of_the_answer(endpoint: str, schema: Any) -> None:
    described = {"name": "n", "schema": schema, "strict": True}
    asked = chat_format(described) if endpoint == CHAT else responses_format(described)
    body = {"model": MODEL, **prompt_body("hi", endpoint), **asked}
    request = prepared(body, endpoint=endpoint)
    assert request.response_model is response_model(schema)
    assert json.loads(request.content) == body


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, {}),
        (CHAT, {"response_format": None}),
        (CHAT, {"response_format": "json_schema"}),
        (CHAT, {"response_format": {"type": "text"}}),
        (CHAT, {"response_format": {"type": "json_object"}}),
        (CHAT, responses_format({"schema": SCHEMA})),
        (RESPONSES, {}),
        (RESPONSES, {"text": None}),
        (RESPONSES, {"text": {"verbosity": "low"}}),
        (RESPONSES, {"text": {"format": {"type": "text"}}}),
        (RESPONSES, chat_format({"schema": SCHEMA})),
        (EMBEDDINGS, chat_format({"schema": SCHEMA})),
    ],
)
def test_without_a_schema_of_its_dialect_any_answer_will_do(
    endpoint: str, body: dict[str, Any]
) -> None:
    assert answer_schema(body, endpoint) is None


@pytest.mark.parametrize("described", [None, "n", [], {}, {"schema": None}, {"schema": "object"}])
def test_a_schema_that_is_announced_must_be_given(described: Any) -> None:
    outcome = rejection({"model": MODEL, "messages": MESSAGES, **chat_format(described)})
    assert "'body.response_format.json_schema.schema'" in outcome.message


def test_the_param_of_a_missing_schema_is_that_of_its_dialect() -> None:
    with pytest.raises(PromptRejected) as caught:
        answer_schema(responses_format({"name": "n"}), RESPONSES)
    assert caught.value.param == "body.text.format.schema"


def test_what_is_no_schema_rejects_the_prompt_before_it_costs_anything() -> None:
    described = {"name": "n", "schema": {"type": "nonsense"}}
    outcome = rejection({"model": MODEL, "messages": MESSAGES, **chat_format(described)})
    assert outcome.kind is FailureKind.REJECTED
    assert "nonsense" in outcome.message


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_a_schema_for_all_answers_is_asked_for_in_the_dialect_of_the_endpoint(
    endpoint: str,
) -> None:
    defaults = {"model": MODEL}
    wrapped = {"name": "number", "schema": SCHEMA}
    asking = with_response_schema(defaults, endpoint=endpoint, schema=wrapped)
    assert defaults == {"model": MODEL}
    asked = answer_schema(asking, endpoint)
    assert asked is not None
    assert asked.schema == SCHEMA
    assert '"name": "number"' in json.dumps(asking)
    request = prepared(prompt_body("hi", endpoint), endpoint=endpoint, defaults=asking)
    assert request.response_model is response_model(SCHEMA)


def test_a_schema_for_all_answers_is_checked_at_once() -> None:
    with pytest.raises(PromptRejected, match="not a JSON Schema"):
        with_response_schema({}, endpoint=CHAT, schema={"type": "nonsense"})
    with pytest.raises(PromptRejected, match="/v1/embeddings"):
        with_response_schema({}, endpoint=EMBEDDINGS, schema=SCHEMA)


class Read(dict[str, Any]):
    """A schema that counts how often it is looked through."""

    times = 0

    def items(self) -> Any:
        self.times += 1
        return super().items()


@pytest.mark.parametrize("strict_schemas", [False, True])
def test_a_schema_that_prompts_share_is_looked_up_once(*, strict_schemas: bool) -> None:
    schema = Read(SCHEMA)
    tool = {"name": "t", "strict": True, "parameters": schema}
    defaults = {
        **with_response_schema({}, endpoint=CHAT, schema=schema),
        "model": MODEL,
        "tools": [{"type": "function", "function": tool}],
    }
    known = KnownSchemas(defaults, CHAT)

    def request_of(body: Mapping[str, Any]) -> PreparedRequest:
        request = prepare_prompt_request(
            PromptSpec(0, "a", body),
            endpoint=CHAT,
            defaults=defaults,
            strict_schemas=strict_schemas,
            known=known,
        )
        assert isinstance(request, PreparedRequest), request
        return request

    first = request_of({"messages": MESSAGES})
    before = schema.times
    for _ in range(5):
        assert request_of({"messages": MESSAGES}) == first
    assert schema.times == before
    assert first.response_model is first.tool_models["t"] is response_model(SCHEMA)


def test_a_prompt_with_a_schema_of_its_own_is_not_judged_by_that_of_the_batch() -> None:
    defaults = with_response_schema({"model": MODEL}, endpoint=CHAT, schema=SCHEMA)
    own = with_response_schema({"messages": MESSAGES}, endpoint=CHAT, schema={"type": "object"})
    assert prepared(own, defaults=defaults).response_model is response_model({"type": "object"})
