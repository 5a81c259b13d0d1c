"""No beginning of an answer is ever taken for an answer, whatever the provider says of its end."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batches.engine.errors import FailureKind
from batches.engine.records import (
    Judgement,
    LadderOptions,
    PreparedRequest,
    Reply,
    ToolCall,
    ToolDemand,
    Usage,
)
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.ladder import judge_reply
from tests.engine.makers import reply, request

ONCE = LadderOptions(max_repair_attempts=0)
ANYTHING = request(schema=True)

# What makes the end of a value hard to see.
NASTY = st.text(st.sampled_from("{}[]\"':,`\\/# \nab1<>|é\u2028"), max_size=8) | st.sampled_from(
    ["<think>", "</think>", "```", '"}', "'}", "// x", "it's", "[THINK]", "<|channel|>final", "/*"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False, width=16)
    | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: isinstance(value, dict | list))


def single_quoted(value: Any) -> str:
    """A value as Python writes it, which json-repair reads too."""
    return repr(value)


WAYS: dict[str, Callable[[Any], str]] = {
    "plain": json.dumps,
    "indented": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    "compact": lambda value: json.dumps(value, separators=(",", ":")),
}
# What stands before the JSON.
CONTEXTS = {
    "bare": "",
    "fenced": "```json\n",
    "in prose": "Sure, here it is:\n\n",
    "in a line": "It is ",
    "after a draft": '{"draft": 1}\n\nNo, better:\n\n',
    "after thoughts": '<think>Perhaps {"draft": 1}?</think>\n',
    "in a tag": "<answer>",
    "in a channel": "<|channel|>analysis<|message|>so {<|end|><|start|>assistant<|channel|>final"
    "<|message|>",
}
REASONS = ("stop", "completed", "end_turn", "", "tool_calls", "who knows")


def judged(answer: str, of: PreparedRequest = ANYTHING, **changes: Any) -> Judgement:
    return judge_reply(of, reply(answer, **changes), ONCE)


def kind_of(judgement: Judgement) -> FailureKind | None:
    return judgement.fault.kind if judgement.fault else None


@pytest.mark.parametrize("context", CONTEXTS)
@given(value=VALUES, way=st.sampled_from(list(WAYS)), reason=st.sampled_from(REASONS))
@example(value={"a": 'x", } y"', "b": ["</think>[1]", {}]}, way="plain", reason="stop")
@example(value=[{"price": 1234567, "text": "a\\"}], way="indented", reason="")
def test_what_ends_inside_json_is_cut_whatever_the_finish_reason(
    context: str, value: Any, way: str, reason: str
) -> None:
    text = WAYS[way](value)
    before = CONTEXTS[context]
    for length in range(1, len(text)):
        judgement = judged(before + text[:length], finish_reason=reason)
        assert judgement.fault is not None, (text[:length], judgement.parsed)
        # A fence that is closed tells of an end that was forgotten, a mark of thoughts not ended.
        if not text[:length].rstrip().endswith("```") or context != "fenced":
            assert judgement.fault.kind is FailureKind.TRUNCATED, text[:length]


@given(value=VALUES)
def test_broken_json_that_is_cut_is_not_mended(value: Any) -> None:
    text = single_quoted(value)
    for length in range(1, len(text)):
        judgement = judged(text[:length])
        assert judgement.fault is not None, (text[:length], judgement.parsed)


BROKEN = [
    '{"n": 1, "tags": ["a", "b"],}',
    "{'n': 1, 'tags': ['a}', \"it's]\", 'b'], 'more': {'x': None}}",
    '{n: 1, tags: ["a", "b}"], more: {x: True}}',
    '{"n": 1 "tags": ["a" "b"]}',
    '{"n": 1, /* } */ "tags": ["a", "b"], // ] }\n "more": {}}',
    '{"n": 1, # } \n "tags": []}',
    '{"said": "he said "no}" and "yes]" to it", "n": [1]}',
    "{“n”: “a}”, “tags”: [“b]”]}",
    '{"a": `x } y`, "b": [1, 2}',
    '{"a": """x } "y" """, "b": 2}',
    '{"text": "line\nbreak } ", "n": 1,}',
    '[{"n": 1,}, {"n": 2,}]',
    '{"n": NaN, "m": Infinity}',
    '{"n": 1.}',
    '{"n"= 1, "m" => 2}',
]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("context", CONTEXTS)
def test_no_beginning_of_broken_json_is_given_an_end(context: str, text: str) -> None:
    before = CONTEXTS[context]
    for length in range(1, len(text)):
        judgement = judged(before + text[:length])
        assert judgement.fault is not None, (text[:length], judgement.parsed)


def calling(arguments: str, **changes: Any) -> Judgement:
    asked = request(
        tool_models={"add": response_model(True), "free": None},  # noqa: FBT003 - a schema
        tools=ToolDemand(frozenset({"add", "free"})),
    )
    calls = (ToolCall("c", changes.pop("name", "add"), arguments),)
    return judge_reply(asked, reply(None, tool_calls=calls, **changes), ONCE)


@pytest.mark.parametrize("name", ["add", "free"])
@given(value=VALUES)
def test_arguments_that_end_inside_are_cut(name: str, value: Any) -> None:
    text = json.dumps(value)
    for length in range(1, len(text)):
        judgement = calling(text[:length], name=name, finish_reason="tool_calls")
        assert kind_of(judgement) is FailureKind.TRUNCATED, text[:length]


@pytest.mark.parametrize("text", ['"five', '"fi\\', "tru", "nul", "f", "-"])
@pytest.mark.parametrize("before", ["", "<think>so</think>"])
def test_a_scalar_that_is_not_whole_is_cut(text: str, before: str) -> None:
    assert kind_of(judged(before + text)) is FailureKind.TRUNCATED


@pytest.mark.parametrize("before", ["", "<think>so</think>"])
@pytest.mark.parametrize(
    ("text", "changes", "whole"),
    [
        ("1234", {}, True),
        ("1234", {"finish_reason": "eos_token"}, True),
        ("1234", {"finish_reason": ""}, False),
        ("1234", {"finish_reason": "who knows"}, False),
        ("1234", {"usage": Usage(5, 16)}, False),
        ("1234\n", {"usage": Usage(5, 16)}, True),
        ("1234 ", {"finish_reason": ""}, True),
        ("true", {"finish_reason": ""}, True),
        ('"1"', {"finish_reason": ""}, True),
        ("1234", {"usage": Usage(5, 15)}, True),
    ],
)
def test_a_number_at_the_end_is_whole_if_the_provider_says_so(
    before: str, text: str, changes: dict[str, Any], *, whole: bool
) -> None:
    asked = request(schema=True, max_output_tokens=16)
    judgement = judge_reply(asked, reply(before + text, **changes), ONCE)
    assert kind_of(judgement) is (None if whole else FailureKind.TRUNCATED)


AT_THE_LIMIT = [
    ("The price is", FailureKind.TRUNCATED),
    ("", FailureKind.TRUNCATED),
    ("<think>What is the price", FailureKind.TRUNCATED),
    ('{"n": 12', FailureKind.TRUNCATED),
    ('It may be {"n": 5}. Rather', FailureKind.TRUNCATED),
    ('{"n": 1}', None),
    ('```json\n{"n": 1}\n```', None),
    ('So: {"n": 1}', None),
    ('{"n": "x"}', FailureKind.SCHEMA_VIOLATION),
]


@pytest.mark.parametrize(("answer", "kind"), AT_THE_LIMIT)
@pytest.mark.parametrize("output_tokens", [16, 17])
@pytest.mark.parametrize("reason", ["stop", "completed", ""])
def test_an_answer_with_all_the_tokens_that_were_allowed_is_cut_unless_its_json_is_closed(
    answer: str, kind: FailureKind | None, output_tokens: int, reason: str
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = request(schema=schema, max_output_tokens=16)
    answered = reply(answer, finish_reason=reason, usage=Usage(5, output_tokens))
    judgement = judge_reply(asked, answered, LadderOptions())
    assert kind_of(judgement) is kind
    assert (judgement.follow_up is not None) is (kind is FailureKind.SCHEMA_VIOLATION)


def test_a_bracket_that_was_forgotten_before_the_end_of_a_fence_is_asked_for_again() -> None:
    answered: Reply = reply('```json\n{"n": [1\n```')
    judgement = judge_reply(request(schema=True), answered, LadderOptions())
    assert kind_of(judgement) is FailureKind.NOT_JSON
    assert judgement.follow_up is not None
