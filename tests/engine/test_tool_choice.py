"""A call that a request demands is judged, in every spelling of the demand and both endpoints."""

import json
from typing import Any

import pytest

from batches.engine.errors import FailureKind
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import (
    Judgement,
    LadderOptions,
    PreparedRequest,
    PromptSpec,
    Rung,
    ToolCall,
    Usage,
)
from batches.engine.structured.ladder import judge_reply
from tests.engine.makers import MODEL, reply

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ARGUMENTS = json.dumps({"city": "Ulm"})
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def tools(endpoint: str, *names: str, strict: bool = False) -> list[dict[str, Any]]:
    functions = [{"name": name, "parameters": PARAMETERS, "strict": strict} for name in names]
    if endpoint == CHAT:
        return [{"type": "function", "function": function} for function in functions]
    return [{"type": "function", **function} for function in functions]


def asked(endpoint: str, **body: Any) -> PreparedRequest:
    payload = (
        {"messages": [{"role": "user", "content": "u"}]} if endpoint == CHAT else {"input": "u"}
    )
    prompt = PromptSpec(0, "p", {"model": MODEL, **payload, **body})
    prepared = prepare_prompt_request(prompt, endpoint=endpoint, defaults={})
    assert isinstance(prepared, PreparedRequest)
    return prepared


def offering(endpoint: str, **body: Any) -> PreparedRequest:
    return asked(endpoint, **{"tools": tools(endpoint, "weather", "time"), **body})


def with_schema(endpoint: str, **body: Any) -> PreparedRequest:
    described = {"name": "n", "schema": SCHEMA}
    if endpoint == CHAT:
        form = {"response_format": {"type": "json_schema", "json_schema": described}}
    else:
        form = {"text": {"format": {"type": "json_schema", **described}}}
    return asked(endpoint, **form, **body)


def answered(
    of: PreparedRequest,
    *names: str,
    text: str | None = None,
    arguments: str = ARGUMENTS,
    **changes: Any,
) -> Judgement:
    calls = tuple(ToolCall(f"c{number}", name, arguments) for number, name in enumerate(names))
    return judge_reply(of, reply(text, tool_calls=calls, **changes), LadderOptions())


def kind_of(judgement: Judgement) -> FailureKind | None:
    return judgement.fault.kind if judgement.fault else None


REQUIRED: list[Any] = [
    "required",
    "any",
    "ANY",
    {"type": "any"},
    {"type": "required"},
    {"mode": "ANY"},
    {"function_calling_config": {"mode": "ANY"}},
    {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "weather"}],
    },
    {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "weather"}}],
        },
    },
]
NAMED: list[Any] = [
    "weather",
    {"type": "function", "function": {"name": "weather"}},
    {"type": "function", "name": "weather"},
    {"function": {"name": "weather"}},
    {"name": "weather"},
    {"type": "tool", "name": "weather"},
    {"mode": "ANY", "allowed_function_names": ["weather"]},
    {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "weather"}],
    },
    {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "weather"}}],
        },
    },
]
BOTH = pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])


@BOTH
@pytest.mark.parametrize("choice", [*REQUIRED, *NAMED])
def test_prose_where_a_call_is_demanded_is_asked_for_again(endpoint: str, choice: Any) -> None:
    demanded = offering(endpoint, tool_choice=choice)
    for text in ("It is sunny.", "", None, '{"city": "Ulm"}'):
        judgement = answered(demanded, text=text)
        assert kind_of(judgement) is FailureKind.SCHEMA_VIOLATION
        assert judgement.follow_up is not None
        assert b"weather" in judgement.follow_up.content
    assert answered(demanded, "weather") == Judgement()


@BOTH
@pytest.mark.parametrize("choice", NAMED)
def test_a_call_of_another_tool_than_the_named_one_is_asked_for_again(
    endpoint: str, choice: Any
) -> None:
    demanded = offering(endpoint, tool_choice=choice)
    for names in (("time",), ("weather", "time"), ("unknown",)):
        judgement = answered(demanded, *names)
        assert kind_of(judgement) is FailureKind.SCHEMA_VIOLATION
        assert judgement.follow_up is not None


@BOTH
def test_where_a_call_is_demanded_a_tool_that_was_not_offered_does_not_do(
    endpoint: str,
) -> None:
    demanded = offering(endpoint, tool_choice="required")
    assert kind_of(answered(demanded, "unknown")) is FailureKind.SCHEMA_VIOLATION
    assert answered(demanded, "time").fault is None


@BOTH
def test_a_call_that_is_ruled_out_is_asked_for_again(endpoint: str) -> None:
    demanded = offering(endpoint, tool_choice="none")
    assert kind_of(answered(demanded, "weather")) is FailureKind.SCHEMA_VIOLATION
    assert answered(demanded, text="It is sunny.") == Judgement()
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "weather"}]}
    demanded = offering(endpoint, tool_choice=allowed)
    assert kind_of(answered(demanded, "time")) is FailureKind.SCHEMA_VIOLATION
    assert answered(demanded, text="It is sunny.") == Judgement()


@BOTH
@pytest.mark.parametrize("choice", [None, "auto", {"type": "auto"}, {"mode": "AUTO"}, "", 5, []])
def test_where_the_model_may_choose_prose_is_an_answer(endpoint: str, choice: Any) -> None:
    assert answered(offering(endpoint, tool_choice=choice), text="It is sunny.") == Judgement()


@BOTH
@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"finish_reason": "length"}, FailureKind.TRUNCATED),
        ({"finish_reason": "MAX_TOKENS"}, FailureKind.TRUNCATED),
        ({"usage": Usage(5, 16)}, FailureKind.TRUNCATED),
        ({"finish_reason": "SAFETY"}, FailureKind.FILTERED),
        ({"refusal": "no"}, FailureKind.REFUSAL),
    ],
)
def test_what_was_cut_before_its_call_is_not_asked_for_again(
    endpoint: str, choice: Any, changes: dict[str, Any], kind: FailureKind
) -> None:
    field = "max_tokens" if endpoint == CHAT else "max_output_tokens"
    demanded = offering(endpoint, tool_choice=choice, **{field: 16})
    judgement = answered(demanded, text="It is", **changes)
    assert kind_of(judgement) is kind
    assert judgement.follow_up is None


@BOTH
@pytest.mark.parametrize("strict", [True, False])
def test_a_demanded_call_whose_arguments_are_cut_is_cut(endpoint: str, strict: bool) -> None:  # noqa: FBT001 - a case of the table
    demanded = asked(endpoint, tools=tools(endpoint, "weather", strict=strict), tool_choice="any")
    assert kind_of(answered(demanded, "weather", arguments='{"city": "U')) is FailureKind.TRUNCATED
    assert answered(demanded, "weather").fault is None


@BOTH
@pytest.mark.parametrize(
    "others",
    [
        [{"type": "web_search"}],
        [{"type": "custom", "name": "shell", "custom": {"name": "shell"}}],
        [{"type": "mcp", "server_label": "s"}],
    ],
)
def test_a_call_that_the_reply_may_not_show_is_not_missed(endpoint: str, others: Any) -> None:
    offered = [*tools(endpoint, "weather"), *others]
    demanded = asked(endpoint, tools=offered, tool_choice="required")
    assert answered(demanded, text="I searched.") == Judgement()
    choice = {"type": "function", "name": "weather"}
    demanded = asked(endpoint, tools=offered, tool_choice=choice)
    assert kind_of(answered(demanded, text="I searched.")) is FailureKind.SCHEMA_VIOLATION


def test_functions_of_the_time_before_tools_are_known() -> None:
    functions = [{"name": "weather", "parameters": PARAMETERS}]
    demanded = asked(CHAT, functions=functions, function_call={"name": "weather"})
    assert kind_of(answered(demanded, text="sunny")) is FailureKind.SCHEMA_VIOLATION
    assert answered(demanded, "weather") == Judgement()
    assert answered(asked(CHAT, functions=functions, function_call="auto"), text="x") == Judgement()


@BOTH
def test_with_a_schema_a_call_of_a_tool_that_was_never_offered_is_asked_for_again(
    endpoint: str,
) -> None:
    for demanded in (
        with_schema(endpoint),
        with_schema(endpoint, tools=[]),
        with_schema(endpoint, tools=tools(endpoint, "weather")),
        with_schema(endpoint, tools=tools(endpoint, "weather", strict=True)),
    ):
        judgement = answered(demanded, "unknown", text='{"n": 1}')
        assert kind_of(judgement) is FailureKind.SCHEMA_VIOLATION
        assert judgement.follow_up is not None
        assert "unknown" in str(judgement.fault)
        # A conversation with a call of an unknown tool would be refused.
        assert b'"tool_calls":' not in judgement.follow_up.content
        assert b"function_call_output" not in judgement.follow_up.content


@BOTH
@pytest.mark.parametrize(
    "offered",
    [
        [{"type": "builtin_function", "function": {"name": "$web_search"}}],
        [{"name": "$web_search", "input_schema": {}}],
        [{"function_declarations": [{"name": "$web_search"}]}],
        [
            {
                "type": "namespace",
                "name": "x",
                "tools": [{"type": "function", "name": "$web_search"}],
            }
        ],
    ],
)
def test_tools_of_other_dialects_are_offered_too(endpoint: str, offered: Any) -> None:
    assert answered(with_schema(endpoint, tools=offered), "$web_search").fault is None


@BOTH
def test_a_strict_tool_that_is_demanded_is_judged_by_its_schema(endpoint: str) -> None:
    demanded = asked(
        endpoint, tools=tools(endpoint, "weather", strict=True), tool_choice="required"
    )
    assert answered(demanded, "weather") == Judgement(
        [{"name": "weather", "arguments": {"city": "Ulm"}}], Rung.PARSED
    )
    wrong = answered(demanded, "weather", arguments='{"town": "Ulm"}')
    assert kind_of(wrong) is FailureKind.SCHEMA_VIOLATION
    assert kind_of(answered(demanded, text="prose")) is FailureKind.SCHEMA_VIOLATION


@pytest.mark.parametrize(
    "described", [None, "weather", {"name": "weather"}, [None, 5, {"name": 5}]]
)
@BOTH
def test_no_description_of_tools_is_too_odd(endpoint: str, described: Any) -> None:
    demanded = asked(endpoint, tools=described, tool_choice="required")
    assert answered(demanded, text="x").fault is None
