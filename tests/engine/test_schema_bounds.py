"""What a schema may take in memory and time, and what is said where it would be more."""

from typing import Any

import pytest
from pydantic import ValidationError

from batches.engine.errors import PromptRejected
from batches.engine.schemas.expansion import expansion_of
from batches.engine.schemas.schemas import response_model
from tests.engine.makers import accepts

NAME = {"type": "string", "pattern": r"^\p{L}{1,64}$"}


def reasons(schema: Any, value: Any) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        response_model(schema).model_validate(value)
    return [(fault["loc"], fault["msg"]) for fault in caught.value.errors()]


def test_a_pattern_of_many_letters_is_taken_and_a_host_of_them_is_not() -> None:
    assert accepts(NAME, "é" * 64)
    assert not accepts(NAME, "é" * 65)
    letters = [{"pattern": rf"^\p{{L}}{{1,{n}}}$"} for n in range(64, 84)]
    with pytest.raises(PromptRejected, match="no more than 512 KiB"):
        response_model({"anyOf": letters})


def test_one_pattern_in_many_places_counts_once() -> None:
    fields = {f"p{number}": NAME for number in range(600)}
    assert accepts({"properties": fields}, {"p1": "é"})


def test_too_many_patterns_are_refused_with_both_numbers() -> None:
    fields = {f"p{number}": {"pattern": f"^{number}[ab]"} for number in range(513)}
    with pytest.raises(PromptRejected, match=r"513 patterns; the most is 512"):
        response_model({"properties": fields})
    del fields["p0"]
    assert accepts({"properties": fields}, {"p1": "1a"})


def test_what_looks_like_a_pattern_in_data_is_none() -> None:
    schema = {"properties": {"pattern": {"const": {"pattern": "(?=a)"}}}}
    assert expansion_of(schema).patterns == 0
    assert accepts(schema, {"pattern": {"pattern": "(?=a)"}})


def test_an_answer_too_large_for_its_schema_is_refused_with_the_numbers() -> None:
    schema = {"items": {"allOf": [{"minimum": -number} for number in range(3_000)]}}
    assert accepts(schema, [1] * 1_000)
    [(place, reason)] = reasons(schema, [1] * 100_000)
    assert place == ()
    assert "too large to be checked" in reason
    assert "the most is 100000000" in reason


def test_a_long_text_is_checked_against_an_ordinary_pattern() -> None:
    assert accepts(
        {"properties": {"a": {"pattern": r"^[\s\S]+\.$"}}}, {"a": "word " * 300_000 + "."}
    )


def test_a_fault_in_a_tree_is_named_with_its_place() -> None:
    branch = {"properties": {"n": {"type": "integer"}, "below": {"items": {"$ref": "#"}}}}
    value = {"n": 1, "below": [{"n": 2, "below": [{"n": "x"}]}]}
    assert reasons(branch, value) == [
        (("below", 0, "below", 0, "n"), '"x" is not of type "integer"'),
    ]


def test_where_it_would_take_too_long_to_say_what_is_wrong_that_is_said() -> None:
    sides = [{"required": [side], "properties": {"a": {"$ref": "#"}}} for side in ("x", "y")]
    value: Any = {}
    for _ in range(40):
        value = {"a": value}
    [(_, reason)] = reasons({"anyOf": sides}, value)
    assert reason == "the value does not fit the schema; finding the place takes too long"


def test_of_a_large_answer_the_first_fault_is_named() -> None:
    schema = {"items": {"properties": {"n": {"type": "integer"}}}}
    [(place, _)] = reasons(schema, [{"n": 1}] * 100_000 + [{"n": "x"}] * 100_000)
    assert place == (100_000, "n")
    branches = {"items": {"properties": {"n": {"anyOf": [{"type": "integer"}, {"minLength": 5}]}}}}
    [(place, _)] = reasons(branches, [{"n": 1}] * 4_000 + [{"n": "x"}] * 4_000)
    assert place == (4_000, "n")
