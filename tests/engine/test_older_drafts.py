"""What older drafts write in another way is read as draft 2020-12 writes it."""

import json
from typing import Any

import pytest

from batches.engine.schemas.older_drafts import modern
from tests.engine.makers import accepts

INTEGER, STRING = {"type": "integer"}, {"type": "string"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ({"items": [INTEGER, STRING]}, {"prefixItems": [INTEGER, STRING]}),
        (
            {"items": [INTEGER], "additionalItems": False},
            {"prefixItems": [INTEGER], "items": False},
        ),
        ({"items": []}, {"prefixItems": []}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"$defs": {"a": {"$id": "#a"}}}, {"$defs": {"a": {"$anchor": "a"}}}),
        (
            {"allOf": [{"properties": {"a": {"items": [INTEGER]}}}]},
            {"allOf": [{"properties": {"a": {"prefixItems": [INTEGER]}}}]},
        ),
        (
            {"properties": {"a": {"items": [INTEGER]}, "b": {"$ref": "#/properties/a/items/0"}}},
            {
                "properties": {
                    "a": {"prefixItems": [INTEGER]},
                    "b": {"$ref": "#/properties/a/prefixItems/0"},
                }
            },
        ),
        (
            {
                "definitions": {"items": INTEGER, "a/b": {"items": [STRING]}},
                "anyOf": [
                    {"$ref": "#/definitions/items"},
                    {"$ref": "#/definitions/a~1b/items/0"},
                    {"$ref": "#/definitions/a%2Fb/items/0"},
                ],
            },
            {
                "definitions": {"items": INTEGER, "a/b": {"prefixItems": [STRING]}},
                "anyOf": [
                    {"$ref": "#/definitions/items"},
                    {"$ref": "#/definitions/a~1b/prefixItems/0"},
                    {"$ref": "#/definitions/a%2Fb/items/0"},
                ],
            },
        ),
    ],
)
def test_it_is_rewritten(older: Any, newer: Any) -> None:
    assert modern(json.loads(json.dumps(older))) == newer


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"items": INTEGER, "additionalItems": False},
        {"enum": [{"items": [1]}], "default": {"items": [2]}, "const": {"$id": "#x"}},
        {"properties": {"items": INTEGER, "$id": STRING}, "exclusiveMinimum": 1},
    ],
)
def test_anything_else_is_left_alone(schema: Any) -> None:
    assert modern(schema) is schema


def test_a_list_of_items_is_judged_as_a_tuple() -> None:
    schema = {"type": "array", "items": [INTEGER, STRING], "additionalItems": False}
    assert accepts(schema, [1, "a"])
    assert not accepts(schema, ["a", 1])
    assert not accepts(schema, [1, "a", 2])
    assert accepts({"minimum": 1, "exclusiveMinimum": True}, 2)
    assert not accepts({"minimum": 1, "exclusiveMinimum": True}, 1)
