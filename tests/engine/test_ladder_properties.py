"""For any schema and answer, and whatever stands around it, the schema alone decides."""

import json
from typing import Any

import jsonschema_rs
from hypothesis import assume, given
from hypothesis import strategies as st

from batches.engine.errors import FailureKind
from batches.engine.records import LadderOptions, Rung
from batches.engine.structured.excerpts import excerpts_in
from batches.engine.structured.ladder import judge_reply
from batches.engine.structured.repair import repaired_json
from simulator.answers import CannotAnswer, answer_for_schema
from tests.engine.makers import reply, request

ONCE = LadderOptions(max_repair_attempts=0)

types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
names = st.sampled_from(["a", "b", "class", "n o"])
schemas: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.fixed_dictionaries({"type": types}) | st.just({"enum": [1, "x", None]}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": types,
            "properties": st.dictionaries(names, inner, max_size=3),
            "required": st.lists(names, max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=6,
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
# What begins a string, or a fence that a scalar would be read from, is not prose.
prose = st.lists(
    st.text(st.characters(exclude_characters='{[`"', exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["[1]", "{ ", "{curly} ", "[see](there)", "} ", "] ", "[x] ", "``", "{}"]),
    max_size=4,
).map("".join)


def valid(schema: Any, value: Any) -> bool:
    return bool(jsonschema_rs.Draft202012Validator(schema).is_valid(value))


def check(schema: Any, value: Any, answer: str, rung: Rung) -> None:
    judgement = judge_reply(request(schema=schema), reply(answer), ONCE)
    if valid(schema, value):
        assert (judgement.fault, judgement.parsed, judgement.rung) == (None, value, rung)
    else:
        assert judgement.fault is not None
        assert judgement.fault.kind is FailureKind.SCHEMA_VIOLATION


@given(schema=schemas, value=values, before=prose, after=prose)
def test_the_schema_decides_whatever_the_text_around_an_answer(
    schema: Any, value: Any, before: str, after: str
) -> None:
    text = json.dumps(value)
    check(schema, value, text, Rung.PARSED)
    check(schema, value, f"```json\n{text}\n```", Rung.EXTRACTED)
    if isinstance(value, dict | list) and len(text) > len("[1]"):
        assume((before + after).strip())
        check_within(schema, value, f"{before}\n{text}\n{after}")


def check_within(schema: Any, value: Any, answer: str) -> None:
    """A value with prose around it is the answer, or it is asked for again; never another one."""
    judgement = judge_reply(request(schema=schema), reply(answer), ONCE)
    if judgement.fault is None:
        assert (judgement.parsed, judgement.rung) == (value, Rung.EXTRACTED)
        assert valid(schema, value)
    elif judgement.fault.kind is FailureKind.NOT_JSON:
        # Asked again: the prose opens a fence or a bracket that holds nothing.
        prose_around = answer.replace(json.dumps(value), "", 1)
        assert set(prose_around) & set("`{[")
    elif judgement.fault.kind is not FailureKind.TRUNCATED:
        # It is cut only where the text around it ends in a bracket that opens.
        assert judgement.fault.kind is FailureKind.SCHEMA_VIOLATION
        assert "differ" in judgement.fault.message or not valid(schema, value)


@given(schema=schemas, seed=st.integers(0, 100), before=prose, after=prose)
def test_what_a_schema_allows_is_accepted(schema: Any, seed: int, before: str, after: str) -> None:
    try:
        value = answer_for_schema(schema, seed)
    except CannotAnswer:
        return
    check(schema, value, json.dumps(value), Rung.PARSED)
    text = json.dumps(value)
    if isinstance(value, dict | list) and len(text) > len("[1]"):
        assume((before + after).strip())
        check_within(schema, value, f"{before}\n{text}\n{after}")


@given(schema=schemas, answer=st.text(st.sampled_from("{}[]\",:'`\\ab1. \n-/"), max_size=60))
def test_no_answer_is_too_odd_to_be_judged(schema: Any, answer: str) -> None:
    judgement = judge_reply(request(schema=schema), reply(answer), LadderOptions())
    assert (judgement.fault is None) == (judgement.rung is not None)
    if judgement.fault is None:
        assert valid(schema, judgement.parsed)
        json.dumps(judgement.parsed, allow_nan=False).encode()


@given(value=values.filter(lambda value: isinstance(value, dict | list) and bool(value)))
def test_a_comma_too_many_changes_nothing_of_the_value(value: Any) -> None:
    text = json.dumps(value)
    for written in (text, json.dumps(value, ensure_ascii=False)):
        mended = repaired_json(f"{written[:-1]},{written[-1]}")
        assert mended is not None
        assert json.loads(mended) == value


@given(answer=st.text(st.sampled_from("{}[]\",:'`\\ab1 \n"), max_size=80))
def test_an_excerpt_is_a_part_of_the_answer_and_json_if_it_is_sound(answer: str) -> None:
    for excerpt in excerpts_in(answer).values:
        assert excerpt.text in answer
        if excerpt.sound and excerpt.text[:1] in {"{", "["}:
            json.loads(excerpt.text)
