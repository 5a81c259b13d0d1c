"""The value of an answer is stored as JSON text that every database and parser takes."""

import json
from typing import Any

import pytest

from batches.engine.records import Outcome, Rung
from batches.runner.results import parsed_text


def outcome(parsed: Any, rung: Rung | None = Rung.PARSED) -> Outcome:
    return Outcome(index=0, custom_id="a", status="succeeded", parsed=parsed, rung=rung)


@pytest.mark.parametrize("value", [None, 0, "", [], {"é": [1.5, {"a": None}]}, "a\nb"])
def test_a_value_is_stored_as_it_is(value: Any) -> None:
    text = parsed_text(outcome(value))
    assert text is not None
    assert json.loads(text) == value
    assert "\n" not in text


def test_no_value_is_not_the_value_null() -> None:
    assert parsed_text(outcome(None, rung=None)) is None
    assert parsed_text(outcome(None)) == "null"


def test_what_cannot_be_stored_is_replaced() -> None:
    text = parsed_text(outcome({"a\x00": "b\x00"}))
    assert text is not None
    assert json.loads(text) == {"a\ufffd": "b\ufffd"}
