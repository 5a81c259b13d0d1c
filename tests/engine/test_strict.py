"""What strict mode refuses is named, and put in a form that it takes."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.schemas.schemas import response_model
from batches.engine.schemas.strict import strict_problems
from batches.engine.schemas.strict_form import strict_schema

INTEGER = {"type": "integer"}


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels: int) -> dict[str, Any]:
    schema = closed(n=INTEGER)
    for _ in range(levels - 1):
        schema = closed(inner=schema)
    return schema


GOOD: list[dict[str, Any]] = [
    closed(),
    closed(n=INTEGER, more=closed(s={"type": "string", "format": "uuid", "pattern": "^a"})),
    closed(a={"anyOf": [INTEGER, {"type": "null"}]}, b={"type": ["string", "null"]}),
    {**closed(a={"$ref": "#/$defs/x"}), "$defs": {"x": closed(again={"$ref": "#"})}},
    closed(a={"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 3}),
    closed(
        a={"type": "string", "enum": ["x"]},
        b={"type": "integer", "const": 1},
        c={"type": "number", "multipleOf": 2},
    ),
    nested(10),
]
BAD: list[tuple[Any, str, str]] = [
    (True, "root_object", "root"),
    ({"type": "array", "items": INTEGER}, "root_object", "root"),
    ({"anyOf": [closed()]}, "root_object", "root"),
    ({**closed(), "additionalProperties": True}, "closed_objects", "root"),
    (closed(a={"type": "object"}), "closed_objects", "root.properties.a"),
    ({**closed(a=INTEGER), "required": []}, "all_required", "root"),
    (closed(a={"items": {"properties": {}}}), "closed_objects", "root.properties.a.items"),
    (closed(a={"allOf": [INTEGER]}), "unsupported_keyword", "root.properties.a"),
    (closed(a={"not": INTEGER}), "unsupported_keyword", "root.properties.a"),
    (closed(a={"type": "string", "minLength": 1}), "unsupported_keyword", "root.properties.a"),
    (closed(a={"type": "string", "format": "uri"}), "unsupported_format", "root.properties.a"),
    (closed(a={"$ref": "#", "description": "x"}), "lonely_ref", "root.properties.a"),
    (
        {**closed(), "$defs": {"x": {"properties": {}}}},
        "closed_objects",
        "root.$defs.x",
    ),
    (closed(a={"enum": list(range(1001))}), "too_many_enum_values", "root"),
    (closed(**{f"p{n}": INTEGER for n in range(5001)}), "too_many_properties", "root"),
    (closed(**{"p" * 1000 + str(n): INTEGER for n in range(121)}), "too_long_names", "root"),
    (nested(11), "too_deep", "root"),
]


@pytest.mark.parametrize("schema", GOOD)
def test_what_strict_mode_takes_has_no_problems_and_stays_as_it_is(schema: Any) -> None:
    assert strict_problems(schema) == []
    assert strict_schema(schema) == schema


@pytest.mark.parametrize(("schema", "rule", "place"), BAD)
def test_what_it_refuses_is_named_with_rule_and_place(schema: Any, rule: str, place: str) -> None:
    assert (rule, place) in [(found.rule, found.place) for found in strict_problems(schema)]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object"}, closed()),
        ({"properties": {"a": INTEGER}}, {**closed(a={"anyOf": [INTEGER, {"type": "null"}]})}),
        (
            {"type": "object", "properties": {"a": INTEGER, "b": INTEGER}, "required": ["b"]},
            closed(a={"anyOf": [INTEGER, {"type": "null"}]}, b=INTEGER),
        ),
        (closed(a={"oneOf": [INTEGER]}), closed(a={"anyOf": [INTEGER]})),
        (closed(a={"allOf": [{"$ref": "#"}], "description": "x"}), closed(a={"$ref": "#"})),
        (closed(a={"$ref": "#", "description": "x"}), closed(a={"$ref": "#"})),
        (
            closed(a={"type": "string", "minLength": 2, "format": "uri"}),
            closed(a={"type": "string"}),
        ),
    ],
)
def test_a_schema_is_put_as_strict_mode_wants_it(schema: Any, strict: Any) -> None:
    before = copy.deepcopy(schema)
    found = strict_schema(schema)
    assert isinstance(found, dict)
    assert {**found, "type": "object"} == strict
    assert schema == before


def test_a_property_that_may_be_null_already_is_left_alone() -> None:
    for kind in ({"type": ["string", "null"]}, {"anyOf": [INTEGER, {"type": "null"}]}):
        found = strict_schema({"type": "object", "properties": {"a": kind}})
        assert found == closed(a=kind)


def test_an_object_that_is_open_on_purpose_is_not_closed() -> None:
    schema = {"type": "object", "additionalProperties": INTEGER}
    found = strict_schema(schema)
    assert isinstance(found, dict)
    assert found["additionalProperties"] == INTEGER
    assert [problem.rule for problem in strict_problems(found)] == ["closed_objects"]


simple = st.sampled_from([INTEGER, {"type": "string", "minLength": 1}, {"type": "null"}, True])
objects: st.SearchStrategy[Any] = st.recursive(
    simple,
    lambda inner: (
        st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            },
            optional={"required": st.lists(st.sampled_from("abc"), unique=True)},
        )
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=8,
)


@given(schema=objects)
def test_the_form_is_a_schema_and_is_its_own_form(schema: Any) -> None:
    once = strict_schema(schema)
    response_model(once)
    assert strict_schema(once) == once


MANY_WORDS = [f"{'w' * 60}{number}" for number in range(251)]
LIST = {"type": "array", "items": [INTEGER]}
TUPLE = {"type": "array", "prefixItems": [INTEGER]}
ENDLESS = {"z": {"anyOf": [INTEGER, {"$ref": "#/definitions/z"}]}}
REFERRING = {"x": closed(), "far": {"properties": {"y": INTEGER}}}


@pytest.mark.parametrize(
    ("schema", "rule", "place"),
    [
        (closed(a=LIST), "unsupported_keyword", "root.properties.a"),
        (closed(a=TUPLE), "unsupported_keyword", "root.properties.a"),
        ({**closed(), "definitions": ENDLESS}, "known_ref", "root.definitions.z"),
        (closed(a={}), "untyped", "root.properties.a"),
        (closed(a=True), "untyped", "root.properties.a"),
        (closed(a={"description": "anything"}), "untyped", "root.properties.a"),
        (closed(a={"type": "array"}), "untyped", "root.properties.a"),
        ({**closed(), "required": ["b"]}, "all_required", "root"),
        (
            closed(a={"type": "array", "items": [INTEGER]}),
            "unsupported_keyword",
            "root.properties.a",
        ),
        (
            closed(a={"type": "array", "prefixItems": []}),
            "unsupported_keyword",
            "root.properties.a",
        ),
        ({**closed(), "patternProperties": {}}, "unsupported_keyword", "root"),
        (closed(a={"type": "string", "enum": MANY_WORDS}), "too_long_enum", "root"),
        (closed(a={"$ref": "#/$defs/x", "default": 1}), "lonely_ref", "root.properties.a"),
        (closed(a={"$ref": "#/properties/a"}), "known_ref", "root.properties.a"),
        (closed(a={"$ref": "#/$defs/missing"}), "known_ref", "root.properties.a"),
        (closed(a={"$ref": "#/$defs/far/properties/y"}), "known_ref", "root.properties.a"),
        (closed(a={"$ref": "other.json"}), "known_ref", "root.properties.a"),
        (closed(a={"$ref": "#anchor"}), "known_ref", "root.properties.a"),
        (
            {**closed(), "definitions": {"z": {"$ref": "#/definitions/z"}}},
            "known_ref",
            "root.definitions.z",
        ),
    ],
)
def test_each_rule_of_references_and_types_is_named(schema: Any, rule: str, place: str) -> None:
    whole = {**schema, "$defs": REFERRING}
    assert (rule, place) in [(found.rule, found.place) for found in strict_problems(whole)]


def test_nothing_that_strict_mode_takes_is_said_to_be_wrong() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **closed(a={"$ref": "#/definitions/t"}, b={**closed(), "type": ["object", "null"]}),
        "definitions": {"t": {"anyOf": [INTEGER, closed(up={"$ref": "#/definitions/t"})]}},
    }
    assert strict_problems(schema) == []
