"""The schemas of a body are found wherever its dialect has them, and faults named by their path."""

import json
from typing import Any

import pytest

from batches.engine.errors import PromptRejected
from batches.engine.prepare import check_schemas, prepare_prompt_request, strict_warnings
from batches.engine.records import PreparedRequest, PromptSpec
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.asked import asked_schemas, tool_names, with_strict_form
from tests.engine.makers import MODEL

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
WRONG = {"properties": {"n": {"type": "nonsense"}}}


def chat_tool(name: str = "add", **described: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **described}}


def flat_tool(name: str = "add", **described: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, **described}


def tool_body(endpoint: str, **described: Any) -> dict[str, Any]:
    made = chat_tool if endpoint == CHAT else flat_tool
    return {"tools": [{"type": "web_search"}, made(**described), made("free")]}


def format_body(endpoint: str, schema: Any, **described: Any) -> dict[str, Any]:
    named = {"name": "n", "schema": schema, **described}
    if endpoint == CHAT:
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    return {"text": {"format": {"type": "json_schema", **named}}}


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_the_arguments_of_a_strict_tool_have_a_schema(endpoint: str) -> None:
    body = tool_body(endpoint, parameters=SCHEMA, strict=True)
    [asked] = asked_schemas(body, endpoint)
    assert (asked.tool, asked.schema, asked.strict) == ("add", SCHEMA, True)
    assert tool_names(body, endpoint) == ["add", "free"]
    place = "function." if endpoint == CHAT else ""
    assert asked.param == f"body.tools.1.{place}parameters"


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
@pytest.mark.parametrize("strict", [{}, {"strict": False}, {"strict": None}])
def test_those_of_any_other_tool_have_none(endpoint: str, strict: dict[str, Any]) -> None:
    assert asked_schemas(tool_body(endpoint, parameters=WRONG, **strict), endpoint) == []


@pytest.mark.parametrize("tools", [None, 5, "add", {}, [None], [[]], [{"type": "function"}]])
@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES, EMBEDDINGS])
def test_odd_tools_are_left_to_the_provider(endpoint: str, tools: Any) -> None:
    assert asked_schemas({"tools": tools}, endpoint) == []


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_a_strict_tool_must_have_a_schema(endpoint: str) -> None:
    with pytest.raises(PromptRejected, match="expected a JSON Schema"):
        asked_schemas(tool_body(endpoint, strict=True), endpoint)


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (CHAT, format_body(CHAT, WRONG), "body.response_format.json_schema.schema"),
        (RESPONSES, format_body(RESPONSES, WRONG), "body.text.format.schema"),
        (CHAT, tool_body(CHAT, parameters=WRONG, strict=True), "body.tools.1.function.parameters"),
        (RESPONSES, tool_body(RESPONSES, parameters=WRONG, strict=True), "body.tools.1.parameters"),
    ],
)
def test_a_bad_schema_keeps_a_prompt_from_being_taken_in(
    endpoint: str, body: dict[str, Any], param: str
) -> None:
    with pytest.raises(PromptRejected, match="nonsense") as caught:
        check_schemas(asked_schemas(body, endpoint))
    assert caught.value.param == f"{param}.properties.n.type"


def test_a_request_has_the_models_of_its_tools() -> None:
    body = tool_body(CHAT, parameters=SCHEMA, strict=True)
    request = prepared(body)
    assert request.tool_models == {"add": response_model(SCHEMA), "free": None}
    assert request.response_model is None
    assert prepared(tool_body(CHAT, parameters=SCHEMA)).tool_models == {}


def prepared(body: dict[str, Any], *, strict_schemas: bool = False) -> PreparedRequest:
    payload = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    request = prepare_prompt_request(
        PromptSpec(0, "a", {**payload, **body}),
        endpoint=CHAT,
        defaults={},
        strict_schemas=strict_schemas,
    )
    assert isinstance(request, PreparedRequest), request
    return request


OPEN = {"type": "object", "properties": {"n": {"type": "integer", "default": 5}}}
CLOSED = {
    "type": "object",
    "properties": {"n": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["n"],
    "additionalProperties": False,
}


def test_the_strict_form_is_sent_and_the_schema_as_given_is_checked() -> None:
    body = {**format_body(CHAT, OPEN), **tool_body(CHAT, parameters=OPEN, strict=True)}
    request = prepared(body, strict_schemas=True)
    sent = json.loads(request.content)
    described = sent["response_format"]["json_schema"]
    assert (described["schema"], described["strict"], described["name"]) == (CLOSED, True, "n")
    assert sent["tools"][1]["function"]["parameters"] == CLOSED
    assert sent["tools"][0] == {"type": "web_search"}
    assert request.response_model is response_model(OPEN)
    assert request.optional_as_null
    assert json.loads(prepared(body).content)["response_format"] == body["response_format"]


def test_the_strict_form_leaves_the_body_of_the_prompt_alone() -> None:
    body = format_body(RESPONSES, OPEN)
    before = json.dumps(body)
    [asked] = asked_schemas(body, RESPONSES)
    assert with_strict_form(body, asked, CLOSED)["text"]["format"]["schema"] == CLOSED
    assert json.dumps(body) == before


def warned(body: dict[str, Any], *, strict_schemas: bool = False) -> set[tuple[str, str]]:
    found = strict_warnings(asked_schemas(body, CHAT), strict_schemas=strict_schemas)
    return {(problem.rule, problem.place) for problem in found}


def test_only_who_asks_for_the_strict_mode_is_warned_of_it() -> None:
    place = "body.response_format.json_schema.schema"
    assert warned(format_body(CHAT, OPEN)) == set()
    assert warned(format_body(CHAT, OPEN, strict=True)) == {
        ("closed_objects", place),
        ("all_required", place),
        ("unsupported_keyword", f"{place}.properties.n"),
    }
    assert warned(format_body(CHAT, OPEN, strict=True), strict_schemas=True) == set()
    lists = {"type": "array", "items": OPEN}
    assert warned(format_body(CHAT, lists), strict_schemas=True) == {("root_object", place)}


TUPLE = {"type": "object", "properties": {"p": {"type": "array", "prefixItems": [SCHEMA]}}}


@pytest.mark.parametrize("strict", [{}, {"strict": True}])
def test_what_cannot_be_put_in_the_strict_form_is_sent_as_given_and_not_strict(
    strict: dict[str, bool],
) -> None:
    body = {
        **format_body(CHAT, TUPLE, **strict),
        **tool_body(CHAT, parameters=TUPLE, strict=True),
    }
    sent = json.loads(prepared(body, strict_schemas=True).content)
    assert sent["response_format"]["json_schema"] == {"name": "n", "schema": TUPLE, "strict": False}
    tool = sent["tools"][1]["function"]
    assert (tool["parameters"], tool["strict"]) == (TUPLE, False)
    places = ("body.response_format.json_schema.schema", "body.tools.1.function.parameters")
    found = strict_warnings(asked_schemas(body, CHAT), strict_schemas=True)
    assert {problem.place for problem in found} == {f"{place}.properties.p" for place in places}
    assert all(problem.message.endswith("; sent without strict") for problem in found)
