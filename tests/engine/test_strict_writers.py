"""The strict form of what generators write is what strict mode takes, and means the same."""

import copy
from typing import Any

import pytest

from batches.engine.schemas.added_nulls import AddedNulls
from batches.engine.schemas.older_drafts import modern
from batches.engine.schemas.strict import strict_problems
from batches.engine.schemas.strict_form import strict_form, strict_schema
from tests.engine.makers import accepts
from tests.engine.other_writers import OTHERS
from tests.engine.python_writers import PYTHON, Written
from tests.engine.strict_checker import answered, faults
from tests.engine.test_strict import closed
from tests.engine.typescript_writers import TYPESCRIPT

# As pydantic wrote a Decimal from 2.12 on, with a look-ahead, and as it is written by hand.
LOOKING_AROUND = [
    r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",
    "^(?=.{3,})a",
    "(?<=a)b",
    "(?<!a)b",
    r"^(['\"]).*\1$",
]
PLAIN_PATTERNS = [
    r"^\(?=[(?=!]+$",
    "^[(?!)]$",
    "^(?:a|b)$",
    "^(?i:a)$",
    r"\\(?P<n>a)",
    r"^[\](?=]$",
]

WRITTEN = [*PYTHON, *TYPESCRIPT, *OTHERS]
POSSIBLE = [written for written in WRITTEN if not written.impossible]
IMPOSSIBLE = [written for written in WRITTEN if written.impossible]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def named(written: Written) -> str:
    return written.writer


def test_the_values_here_fit_their_schemas() -> None:
    for written in WRITTEN:
        for value in written.values:
            assert accepts(written.schema, value), (written.writer, value)


@pytest.mark.parametrize("written", POSSIBLE, ids=named)
def test_the_strict_form_keeps_every_rule(written: Written) -> None:
    before = copy.deepcopy(written.schema)
    form = strict_form(written.schema)
    assert form.problems == ()
    assert faults(form.schema) == []
    assert strict_problems(form.schema) == []
    assert strict_schema(form.schema) == form.schema
    assert written.schema == before


@pytest.mark.parametrize("written", POSSIBLE, ids=named)
def test_a_value_can_be_written_in_the_strict_form_and_is_read_back(written: Written) -> None:
    form: Any = strict_schema(written.schema)
    for value in written.values:
        answer = answered(form, value)
        assert accepts(form, answer)
        AddedNulls(modern(copy.deepcopy(written.schema))).take_out(answer)
        assert accepts(written.schema, answer)
        assert without_nulls(answer) == without_nulls(value)


@pytest.mark.parametrize("written", IMPOSSIBLE, ids=named)
def test_what_cannot_be_put_so_is_said_with_its_places(written: Written) -> None:
    form = strict_form(written.schema)
    assert {(problem.rule, problem.place) for problem in form.problems} == {*written.impossible}
    assert faults(form.schema)


@pytest.mark.parametrize("pattern", LOOKING_AROUND)
def test_a_pattern_that_looks_around_is_said_and_left_out(pattern: str) -> None:
    schema = closed(a={"type": "string", "pattern": pattern})
    assert [problem.rule for problem in strict_problems(schema)] == ["unsupported_pattern"]
    assert strict_schema(schema) == closed(a={"type": "string"})


@pytest.mark.parametrize("pattern", PLAIN_PATTERNS)
def test_any_other_pattern_is_kept(pattern: str) -> None:
    schema = closed(a={"type": "string", "pattern": pattern})
    assert strict_problems(schema) == []
    assert strict_schema(schema) == schema
