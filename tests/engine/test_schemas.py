from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel, ValidationError

from batches.engine.errors import PromptRejected
from batches.engine.schemas.judging import MAX_REPORTED_ERRORS
from batches.engine.schemas.keywords import LoadedSchema, Schema
from batches.engine.schemas.schemas import MAX_FIELDS, is_schema_model, response_model
from tests.engine.makers import accepts

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.0, 0.5, 10**30, "", "a", "red", "aaa!", [], [1], [1, 1]),
    *([1, "a"], {}, {"a": 1}, {"a": "x"}, {"a": None, "b": []}, {"class": 1}, {"class": "x"}),
    *({"a": {"a": {}}}, {"a": {"a": 1}}, [[1], [1]], "2026-01-01", {"_private": 1}, {"": 1}),
]
ANYTHING, NOTHING = True, False
SCHEMAS: list[LoadedSchema] = [
    ANYTHING,
    NOTHING,
    {},
    {"type": "string"},
    {"type": ["object", "null"]},
    {"type": "integer"},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    {"enum": [None, 1, "red", {"a": 1}]},
    {"const": 1},
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "integer"}}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": True}, "additionalProperties": False},
    {"type": "object", "properties": {"a": False}},
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
    {"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}},
    {"$ref": "#"},
    {"type": "object", "$ref": "#/$defs/x", "$defs": {"x": {"required": ["a"]}}},
    {"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 1}]},
    {"not": {"type": "object"}},
    {"pattern": "^a+$", "minLength": 1},
    {"type": "object", "minProperties": 2},
    {"type": "object", "properties": {"class": {"type": "integer"}}, "required": ["class"]},
    {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
]

# Names that a class, pydantic or the model's own code might want for itself.
NAMES = [
    *(
        "class",
        "def",
        "None",
        "self",
        "cls",
        "root",
        "judge",
        "_judge",
        "name",
        "value",
        "schema",
        "json",
    ),
    *("copy", "dict", "model_dump", "model_config", "model_x", "model_validate", "mro", "validate"),
    *(
        "_judge",
        "register",
        "BaseModel",
        "Any",
        "field",
        "_private",
        "__init__",
        "__dict__",
        "__class__",
    ),
    *("__validators__", "__config__", "model_name", "a b", "a-b", "1a", "", "é", "\ufb01", "日本"),
    *("_judge", "a.b", "$ref", "\x00", "x" * 300),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_the_verdict_is_that_of_the_schema(schema: LoadedSchema) -> None:
    validator = jsonschema_rs.Draft202012Validator(schema, offline=True)
    verdicts = [accepts(schema, value) for value in VALUES]
    assert verdicts == [validator.is_valid(value) for value in VALUES]


def test_the_schemas_here_both_accept_and_refuse() -> None:
    verdicts = {accepts(schema, value) for schema in SCHEMAS for value in VALUES}
    assert verdicts == {True, False}


@pytest.mark.parametrize("name", NAMES)
def test_a_property_of_any_name_is_checked(name: str) -> None:
    schema = {"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]}
    assert accepts(schema, {name: 1})
    assert not accepts(schema, {name: "x"})
    assert not accepts(schema, {})
    assert not accepts(schema, [])


types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
names = st.sampled_from(["a", "b", "class", "judge", "model_dump", "_x"])
small_schemas: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.fixed_dictionaries({"type": types}) | st.just({}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": types,
            "properties": st.dictionaries(names, inner, max_size=3),
            "required": st.lists(names, max_size=2, unique=True),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=6,
)
small_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@given(schema=small_schemas, value=small_values)
def test_the_verdict_is_that_of_the_schema_for_any_schema_and_value(
    schema: Any, value: Any
) -> None:
    assert accepts(schema, value) == jsonschema_rs.Draft202012Validator(schema).is_valid(value)


def test_an_object_has_its_properties_as_attributes() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "model_dump": True}}
    answer = response_model(schema).model_validate({"city": "Ulm", "model_dump": 1, "more": 2})
    assert getattr(answer, "city") == "Ulm"  # noqa: B009 - the model is made at run time
    assert answer.model_dump() == {"city": "Ulm", "model_dump": 1, "more": 2}


@pytest.mark.parametrize("schema", [True, {}, {"type": "array"}, {"type": ["object", "null"]}])
def test_anything_but_an_object_is_a_root(schema: Schema) -> None:
    model = response_model(schema)
    assert issubclass(model, RootModel)
    answer = model.model_validate([1]) if accepts(schema, [1]) else model.model_validate(None)
    assert answer.root in ([1], None)


def test_equal_schemas_give_one_model() -> None:
    one: Schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    two: Schema = {"properties": {"a": {"type": "integer"}}, "type": "object"}
    three: Schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    assert response_model(one) is response_model(two)
    assert response_model(one) is not response_model(three)
    assert response_model(ANYTHING) is not response_model(NOTHING)


def test_true_and_one_are_two_schemas() -> None:
    # They are equal in Python, and a cache by equality would mix them up.
    assert response_model({"enum": [[True]]}) is not response_model({"enum": [[1]]})
    assert accepts({"enum": [[True]]}, [True])
    assert not accepts({"enum": [[1]]}, [True])


def test_a_fault_is_named_with_its_place() -> None:
    schema = {"type": "object", "properties": {"a": {"items": {"type": "integer"}}}}
    with pytest.raises(ValidationError) as caught:
        response_model(schema).model_validate({"a": [1, "{reason}", 2]})
    fault = caught.value.errors()[0]
    assert fault["loc"] == ("a", 1)
    assert fault["msg"] == '"{reason}" is not of type "integer"'


def test_a_long_list_of_faults_is_cut() -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    with pytest.raises(ValidationError) as caught:
        response_model(schema).model_validate(["x"] * 10_000)
    assert caught.value.error_count() == MAX_REPORTED_ERRORS


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "nonsense"}, "nonsense"),
        ({"type": "object", "properties": 5}, "5 is not of type"),
        ({"required": "a"}, '"a"'),
        ({"maxLength": -1}, "-1"),
        ({"pattern": "("}, '"("'),
        ({"minimum": float("inf")}, ""),
        ({"$ref": "#/$defs/nowhere"}, "nowhere"),
        ({"$ref": "file:///etc/passwd"}, "file:///etc/passwd"),
        ({"$ref": "https://example.com/schema.json"}, "https://example.com/schema.json"),
        ({"x": {1, 2}}, "set"),
        ({"\ud800": 1}, ""),
        ([1], ""),
        (None, ""),
        (5, ""),
        ("object", ""),
    ],
)
def test_what_is_no_schema_is_refused_with_the_reason_in_one_line(schema: Any, named: str) -> None:
    with pytest.raises(PromptRejected, match=r"^'schema.*' is not a JSON Schema: .") as caught:
        response_model(schema)
    assert named in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.param.startswith("schema")


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (None, ""),
        ({"properties": {"a": {"type": "nonsense"}}}, ".properties.a.type"),
        ({"anyOf": [True, {"pattern": "("}]}, ".anyOf.1.pattern"),
        ({"properties": {"a": {"$ref": "#/$defs/nowhere"}}}, ".properties.a.$ref"),
        ({"items": {"$ref": "https://example.com/x.json#/y"}}, ".items.$ref"),
        ({"$id": "https://example.com/a", "items": {"$ref": "b.json"}}, ".items.$ref"),
        ({"items": {"$ref": "#nowhere"}, "allOf": [{"$ref": "#"}]}, ".items.$ref"),
        ({"more": {"a": {"$ref": "#/more/b"}}, "$ref": "#/more/a"}, ".more.a.$ref"),
        ({"properties": {"a": {"$id": "http://["}}}, ".properties.a.$id"),
        ({"$defs": {"a": {"$id": "http://[V1.x]/"}}}, ".$defs.a.$id"),
        ({"$id": "http://example.com/a", "items": {"$ref": "http://["}}, ".items.$ref"),
        ({"anyOf": [{"$id": "HTTP://example.com/"}]}, ".anyOf.0.$id"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, ".items.$schema"),
    ],
)
def test_a_fault_of_a_schema_is_named_with_its_place(schema: Any, place: str) -> None:
    with pytest.raises(PromptRejected) as caught:
        response_model(schema)
    assert caught.value.param == f"schema{place}"


@pytest.mark.parametrize("data", [{"$id": "http://["}, {"$ref": "x:[", "$id": 5}, {"allOf": 5}])
@pytest.mark.parametrize("keyword", ["const", "default", "x-made-up"])
def test_data_in_a_schema_may_look_like_a_wrong_schema(keyword: str, data: Any) -> None:
    addressed = {"$id": "http://example.com/a"}
    assert accepts({**addressed, keyword: data}, data)
    assert accepts({**addressed, "enum": [data], "examples": [data]}, data)
    assert accepts({**addressed, "properties": {"a": {keyword: data}}}, {"a": data})


@pytest.mark.parametrize("name", ["const", "enum", "default", "examples"])
def test_a_property_may_be_called_as_what_holds_data(name: str) -> None:
    schema = {"properties": {name: {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    assert accepts(schema, {name: 1})
    assert not accepts(schema, {name: "x"})
    with pytest.raises(PromptRejected) as caught:
        response_model({"properties": {name: {"$ref": "#/$defs/n"}}})
    assert caught.value.param == f"schema.properties.{name}.$ref"


def test_more_properties_than_fields_are_still_checked_and_there() -> None:
    names = [f"p{number}" for number in range(MAX_FIELDS + 50)]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    answer = response_model(schema).model_validate({names[-1]: 5})
    assert getattr(answer, names[-1]) == 5
    assert not accepts(schema, {names[-1]: "x"})


def test_a_model_of_a_schema_is_known_for_one() -> None:
    class Written(BaseModel):
        n: int

    models: list[type[BaseModel]] = [
        response_model({"type": "object"}),
        response_model(ANYTHING),
        Written,
    ]
    assert [is_schema_model(model) for model in models] == [True, True, False]
