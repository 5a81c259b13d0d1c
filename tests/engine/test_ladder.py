"""Each answer is taken on the lowest rung that finds its JSON, or asked for again, or of no use."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from batches.engine.errors import FailureKind
from batches.engine.records import Judgement, LadderOptions, PreparedRequest, Rung, ToolCall
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.ladder import judge_reply
from tests.engine.makers import REJECTED, reply, request

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "tags": {"items": {"type": "string"}}},
    "required": ["n"],
}
VALUE = {"n": 1, "tags": ["a", "b"]}
TEXT = json.dumps(VALUE)
ALL = LadderOptions()


def judged(answer: str | None, options: LadderOptions = ALL, **changes: Any) -> Judgement:
    return judge_reply(request(schema=SCHEMA), reply(answer, **changes), options)


def kind_of(judgement: Judgement) -> FailureKind | None:
    return judgement.fault.kind if judgement.fault else None


SOUND_WITHIN = [
    f"```json\n{TEXT}\n```",
    f"```\n{TEXT}\n```\n",
    f"Sure! Here it is:\n\n{TEXT}\n\nDoes that help?",
    f"{TEXT} and more",
    f"As [1] and [2] say, {{curly}} braces: {TEXT} [3]",
    f"{{ {TEXT}",
    f"<think>Should it be {{}}?</think>{TEXT}",
    f'It is "{TEXT}".',
    f'{TEXT}\n\nA remark: {{"n": 5}} would not do.',
]
BROKEN = [
    '{"n": 1, "tags": ["a", "b"],}',
    '{"n": 1, "tags": ["a", "b"}',
    '{"n": 1, "tags": ["a", "b",]}',
    "{'n': 1, 'tags': [\"a\", 'b',]}",
    '{“n”: 1, “tags”: ["a", “b”]}',
    "{'n': 1, 'tags': ['a', 'b']}",
    '{n: 1, tags: ["a", "b"]}',
    '{"n": 1 "tags": ["a" "b"]}',
    '{"n": 1, /* none */ "tags": ["a", "b"]}',
]


@pytest.mark.parametrize("answer", [TEXT, f" \n{TEXT}\n"])
def test_json_is_taken_as_it_came(answer: str) -> None:
    assert judged(answer) == Judgement(parsed=VALUE, rung=Rung.PARSED)


@pytest.mark.parametrize("answer", SOUND_WITHIN)
def test_what_stands_around_json_is_stripped(answer: str) -> None:
    assert judged(answer) == Judgement(parsed=VALUE, rung=Rung.EXTRACTED)
    assert kind_of(judged(answer, LadderOptions(extract_json=False))) is FailureKind.NOT_JSON


@pytest.mark.parametrize("answer", BROKEN)
def test_broken_json_is_mended(answer: str) -> None:
    assert judged(answer) == Judgement(parsed=VALUE, rung=Rung.REPAIRED)
    assert judged(answer, LadderOptions(extract_json=False)).rung is Rung.REPAIRED
    assert kind_of(judged(answer, LadderOptions(repair_json=False))) is FailureKind.NOT_JSON


@pytest.mark.parametrize("answer", BROKEN)
def test_broken_json_is_mended_in_the_midst_of_prose_too(answer: str) -> None:
    fenced = f"Here:\n```json\n{answer}\n```"
    assert judged(fenced) == Judgement(parsed=VALUE, rung=Rung.REPAIRED)
    assert kind_of(judged(fenced, LadderOptions(extract_json=False))) is FailureKind.NOT_JSON


@pytest.mark.parametrize(
    "escaped", [r"\n", r"a\n", r"\f\b\/", r"\ud83d\ude00", r"\\\"", r"\\f", r"\u0041", r"c:\\new"]
)
def test_what_is_sound_within_broken_json_stays_as_it_is(escaped: str) -> None:
    tags = f'["{escaped}", "é {escaped} é"]'
    judgement = judged(f'{{"n": 1, "tags": {tags},}}')
    assert judgement.parsed == {"n": 1, "tags": json.loads(tags)}


@pytest.mark.parametrize(
    "answer", ["I cannot", "42 it is", "null, I think", '"n" is 1', "{curly}", "n: 1", "```\n```"]
)
def test_prose_is_never_made_into_json(answer: str) -> None:
    anything = judge_reply(request(schema=True), reply(answer), ALL)
    assert kind_of(anything) is FailureKind.NOT_JSON


@pytest.mark.parametrize("answer", ["```\n5\n```", '```json\n"five"\n```', "```\nnull\n```"])
def test_a_fence_may_enclose_any_json(answer: str) -> None:
    judgement = judge_reply(request(schema=True), reply(answer), ALL)
    assert (judgement.fault, judgement.rung) == (None, Rung.EXTRACTED)


@pytest.mark.parametrize(
    "answer",
    [
        '{"n": "x"}',
        'Take {"n": 1}, or rather {"n": "x"}',
        'Such as {"n": 1}: {"n": "x", "tags": []}',
        '```json\n{"n": "x"}\n```',
        '{"n": "x",}',
        '[{"n": 1}]',
        '"{\\"n\\": 1}"',
    ],
)
def test_json_that_does_not_fit_is_not_made_to_fit(answer: str) -> None:
    assert kind_of(judged(answer)) is FailureKind.SCHEMA_VIOLATION


@pytest.mark.parametrize(
    ("answer", "changes", "kind", "again"),
    [
        (None, {"refusal": "no"}, FailureKind.REFUSAL, False),
        ('{"n', {"finish_reason": "length"}, FailureKind.TRUNCATED, False),
        (TEXT, {"finish_reason": "content_filter"}, FailureKind.FILTERED, False),
        ('{"n', {}, FailureKind.TRUNCATED, False),
        ("", {}, FailureKind.EMPTY, True),
        ("<think>What is n?</think>", {}, FailureKind.EMPTY, True),
        ("prose", {}, FailureKind.NOT_JSON, True),
        ("{}", {}, FailureKind.SCHEMA_VIOLATION, True),
    ],
)
def test_only_what_another_try_may_mend_is_asked_for_again(
    answer: str | None, changes: dict[str, Any], kind: FailureKind, *, again: bool
) -> None:
    judgement = judged(answer, **changes)
    assert kind_of(judgement) is kind
    assert (judgement.follow_up is not None) is again
    assert judged(answer, LadderOptions(max_repair_attempts=0), **changes).follow_up is None


def test_it_is_asked_for_again_so_often_and_no_more() -> None:
    asked = request(schema=SCHEMA)
    for number in (1, 2, 3):
        judgement = judge_reply(asked, reply("no"), LadderOptions(max_repair_attempts=3))
        assert judgement.follow_up is not None
        asked = judgement.follow_up
        assert len(asked.rejected) == number
    assert judge_reply(asked, reply("no"), LadderOptions(max_repair_attempts=3)).follow_up is None


def test_an_answer_that_was_asked_for_again_says_so_whatever_it_looks_like() -> None:
    asked = request(schema=SCHEMA, rejected=(REJECTED,))
    for answer in (TEXT, SOUND_WITHIN[0], BROKEN[0]):
        assert judge_reply(asked, reply(answer), ALL) == Judgement(VALUE, Rung.ASKED_AGAIN)


@pytest.mark.parametrize("answer", ["", "no", None])
def test_without_a_schema_nothing_is_judged(answer: str | None) -> None:
    assert judge_reply(request(), reply(answer), ALL) == Judgement()


class City(BaseModel):
    name: str
    people: int = 0

    @field_validator("name")
    @classmethod
    def is_known(cls, name: str) -> str:
        return {"ulm": "Ulm"}[name]


def of_class(**changes: Any) -> PreparedRequest:
    return request(response_model=City, **changes)


def test_an_answer_of_a_class_is_an_instance_of_it() -> None:
    judgement = judge_reply(of_class(), reply('Here: {"name": "ulm", "people": 5}'), ALL)
    assert judgement == Judgement(City.model_construct(name="Ulm", people=5), Rung.EXTRACTED)


def test_a_validator_that_trips_makes_an_answer_of_no_use_and_no_more() -> None:
    judgement = judge_reply(of_class(), reply('{"name": "atlantis"}'), ALL)
    assert kind_of(judgement) is FailureKind.SCHEMA_VIOLATION
    assert "KeyError" in str(judgement.fault)


def test_a_null_that_stands_for_what_is_left_out_is_taken_out() -> None:
    answer = '{"name": "ulm", "people": null}'
    assert judge_reply(of_class(optional_as_null=True), reply(answer), ALL).fault is None
    assert judge_reply(of_class(), reply(answer), ALL).fault is not None


def test_such_nulls_are_taken_out_of_every_item_and_no_others() -> None:
    item = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}}
    schema = {"type": "array", "items": {**item, "required": ["b"]}}
    many = [{"a": None, "b": None}] * 300
    asked = request(schema=schema, optional_as_null=True)
    judgement = judge_reply(asked, reply(json.dumps(many)), ALL)
    assert judgement.parsed == [{"b": None}] * 300
    refused = judge_reply(asked, reply('[{"a": null}]'), ALL)
    assert kind_of(refused) is FailureKind.SCHEMA_VIOLATION


def calling(*arguments: str, name: str = "add", **changes: Any) -> Judgement:
    tools = {"add": response_model(SCHEMA), "free": None}
    calls = tuple(ToolCall(f"call_{n}", name, text) for n, text in enumerate(arguments))
    asked = request(tool_models=tools, content=b'{"messages":[]}', **changes)
    return judge_reply(asked, reply(None, tool_calls=calls, finish_reason="tool_calls"), ALL)


def test_arguments_of_a_strict_tool_must_fit() -> None:
    assert calling(TEXT).parsed == [{"name": "add", "arguments": VALUE}]
    refused = calling(TEXT, '{"n": "x"}')
    assert kind_of(refused) is FailureKind.SCHEMA_VIOLATION
    assert "arguments of add: n: " in str(refused.fault)
    assert kind_of(calling("{}", name="unknown")) is FailureKind.SCHEMA_VIOLATION


def test_the_rung_of_several_calls_is_the_highest_of_them() -> None:
    assert calling(TEXT, TEXT).rung is Rung.PARSED
    assert calling(TEXT, BROKEN[0], SOUND_WITHIN[0]).rung is Rung.REPAIRED


def test_arguments_of_other_tools_are_kept_as_they_came() -> None:
    assert calling("whatever", name="free").parsed == [{"name": "free", "arguments": "whatever"}]


def test_an_answer_that_calls_a_tool_need_not_fit_the_schema_of_the_answer() -> None:
    assert calling(TEXT, response_model=response_model(False)).fault is None  # noqa: FBT003 - what is tested


def test_tools_that_are_not_called_ask_for_nothing() -> None:
    asked = request(tool_models={"add": response_model(SCHEMA)})
    assert judge_reply(asked, reply("no need"), ALL) == Judgement()
