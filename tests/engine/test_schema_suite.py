"""The response model judges as the official JSON-Schema-Test-Suite says, without exception."""

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel, ValidationError

from batches.engine.errors import PromptRejected
from batches.engine.schemas.compiled import compile_schema
from batches.engine.schemas.expansion import Expansion
from batches.engine.schemas.schemas import model_judged_by, response_model
from tests.engine.schema_suite import Case, remotes, required_cases

# Those of the snapshot that the pinned release carries.
REQUIRED_TESTS = 1257


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return list(required_cases())


def wrong_verdicts(cases: list[Case], model_of: Callable[[Any], type[BaseModel]]) -> list[str]:
    """The tests on which the model of a schema and the suite disagree."""
    return [
        f"{case}: {description}"
        for case in cases
        for description, value, valid in case.tests
        if allows(model_of(case.schema), value) is not valid
    ]


def allows(model: type[BaseModel], value: Any) -> bool:
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


def test_the_suite_is_the_one_that_is_meant(cases: list[Case]) -> None:
    tests = [(case, valid) for case in cases for _, _, valid in case.tests]
    assert len(tests) == REQUIRED_TESTS
    assert {valid for _, valid in tests} == {True, False}
    assert sum(case.needs_remotes for case, _ in tests) < 100


def test_the_model_of_every_schema_that_stands_alone_judges_as_the_suite(
    cases: list[Case],
) -> None:
    alone = [case for case in cases if not case.needs_remotes]
    assert wrong_verdicts(alone, response_model) == []


def test_with_the_documents_of_the_suite_at_hand_every_other_does_too(cases: list[Case]) -> None:
    registry = jsonschema_rs.Registry(remotes())

    def model_of(schema: Any) -> type[BaseModel]:
        compiled = compile_schema(schema, registry=registry)
        unknown = Expansion(size=1, weight=1, matched=0, patterns=0)
        return model_judged_by(compiled, schema, expansion=unknown)

    assert wrong_verdicts([case for case in cases if case.needs_remotes], model_of) == []


def test_without_them_a_schema_that_needs_one_is_refused_not_fetched(cases: list[Case]) -> None:
    for case in cases:
        if case.file == "refRemote.json" and "$ref" in case.schema and "$defs" not in case.schema:
            with pytest.raises(PromptRejected, match="not a JSON Schema"):
                response_model(case.schema)
