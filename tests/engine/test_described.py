"""A schema may be handed over with what an API wants around it."""

from typing import Any

import pytest

from batches.engine.errors import PromptRejected
from batches.engine.prepare import check_body, with_response_schema
from batches.engine.schemas.described import described_schema, holder_of

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "schema": {"type": "object"}},
    "required": ["name"],
}
NAMED = {"name": "answer", "schema": SCHEMA}

WRAPPED: list[tuple[Any, str | None, bool]] = [
    (SCHEMA, None, False),
    (NAMED, "answer", False),
    ({"schema": SCHEMA}, None, False),
    ({**NAMED, "strict": True, "description": "an answer"}, "answer", True),
    ({"type": "json_schema", "json_schema": NAMED}, "answer", False),
    ({"type": "json_schema", "json_schema": SCHEMA}, None, False),
    ({"type": "json_schema", **NAMED, "strict": True}, "answer", True),
    ({"format": {"type": "json_schema", **NAMED}}, "answer", False),
    ({"text": {"format": {"type": "json_schema", **NAMED}}}, "answer", False),
    ({"response_format": {"type": "json_schema", "json_schema": NAMED}}, "answer", False),
    ({"type": "function", "function": {"name": "f", "parameters": SCHEMA}}, "f", False),
    ({"type": "function", "name": "f", "parameters": SCHEMA}, "f", False),
    ({"name": "f", "input_schema": SCHEMA}, "f", False),
]


@pytest.mark.parametrize(("given", "name", "strict"), WRAPPED)
def test_what_stands_around_a_schema_is_taken_off(
    given: Any, name: str | None, *, strict: bool
) -> None:
    found = described_schema(given)
    assert (found.schema, found.name, found.strict) == (SCHEMA, name, strict)
    defaults = with_response_schema({}, endpoint="/v1/chat/completions", schema=given)
    asked = defaults["response_format"]["json_schema"]
    assert asked == {
        "name": name or "response",
        "schema": SCHEMA,
        **({"strict": True} if strict else {}),
    }


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {"type": "object"},
        {"properties": {"schema": {"type": "object"}}},
        {"type": "string", "format": "date"},
        {"$defs": {"schema": {}}, "$ref": "#/$defs/schema"},
        {"name": "x", "schema": SCHEMA, "required": ["a"]},
        {"schema": SCHEMA, "parameters": SCHEMA},
    ],
)
def test_a_schema_is_taken_as_it_is(schema: Any) -> None:
    assert holder_of(schema) is None
    assert described_schema(schema).schema == schema


@pytest.mark.parametrize(
    "around", [given for given, _, _ in WRAPPED[1:]], ids=lambda value: str(list(value))
)
def test_in_a_body_the_bare_schema_is_asked_for(around: Any) -> None:
    """As a schema it would say nothing, and every answer would fit."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": around}},
    }
    with pytest.raises(PromptRejected) as caught:
        check_body(body, "/v1/chat/completions")
    assert caught.value.message.startswith("'body.response_format.json_schema.schema' is not")
    assert f"give the value of '{holder_of(around)}'" in caught.value.message
