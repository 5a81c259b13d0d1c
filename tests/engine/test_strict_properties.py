"""Whatever a schema is made of: its strict form is sound, or said not to be."""

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from batches.engine.errors import PromptRejected
from batches.engine.records import LadderOptions
from batches.engine.schemas.schemas import response_model
from batches.engine.schemas.strict import strict_problems
from batches.engine.schemas.strict_form import strict_form, strict_schema
from batches.engine.structured.ladder import judge_reply
from tests.engine.makers import accepts, reply, request
from tests.engine.strict_checker import answered, faults

NAMES = "abc"
LEAVES: list[Any] = [
    {"type": "integer", "minimum": -5},
    {"type": ["string", "null"]},
    {"type": "string", "minLength": 1, "default": "x", "format": "uri"},
    {"enum": ["x", 1, None]},
    {"const": "k"},
    {"type": "boolean", "title": "Yes or no", "examples": [True]},
]
ODD_LEAVES: list[Any] = [
    True,
    False,
    {},
    {"type": "array"},
    {"type": "object"},
    {"type": "array", "prefixItems": [{"type": "integer"}]},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
    {"type": "string", "pattern": "^a"},
    {"not": {}},
    {"type": "integer", "enum": ["x"]},
    {"required": ["a"]},
]
REFERENCES: list[Any] = [
    {"$ref": "#/$defs/one"},
    {"$ref": "#/definitions/two"},
    {"$ref": "#/definitions/a~1b%20c"},
    {"$ref": "#named"},
    {"$ref": "#"},
    {"$ref": "#/$defs/one/properties/a"},
    {"$ref": "#/properties/r/items"},
    {"$ref": "#/$defs/one", "description": "Beside it.", "default": None},
    {"$ref": "#/definitions/two", "title": "Two"},
    {"allOf": [{"$ref": "#/$defs/one"}], "description": "Of one."},
    {"allOf": [{"$ref": "#/$defs/one"}, {"$ref": "#/definitions/two"}]},
]


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "properties": st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
        },
        optional={
            "required": st.lists(st.sampled_from(NAMES), unique=True, max_size=1),
            "additionalProperties": st.just(False),  # noqa: FBT003 - a schema
            "description": st.just("An object."),
        },
    )


def compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    return (
        objects(inner)
        | st.fixed_dictionaries({"type": st.just("array"), "items": inner})
        | st.fixed_dictionaries({"anyOf": several})
        | st.fixed_dictionaries({"oneOf": several, "title": st.just("One of")})
        | st.builds(lambda one, other: {"allOf": [one, other]}, objects(inner), objects(inner))
        | st.builds(lambda one, some: {**one, "anyOf": some}, objects(inner), several)
    )


def documents(leaves: list[Any]) -> st.SearchStrategy[Any]:
    inner = st.recursive(st.sampled_from(leaves), compound, max_leaves=5)
    whole = st.builds(
        lambda root, listed, one, two, odd: {
            **root,
            "properties": {**root["properties"], "r": {"type": "array", "items": listed}},
            "$defs": {
                "one": {**one, "properties": {"a": {"type": "integer"}, **one["properties"]}}
            },
            "definitions": {"two": two, "a/b c": odd, "n": {"$anchor": "named", "type": "null"}},
        },
        objects(inner),
        inner,
        objects(inner),
        inner,
        inner,
    )
    return whole.filter(is_schema)


def is_schema(schema: Any) -> bool:
    try:
        response_model(schema)
    except PromptRejected:
        return False
    return True


def values(schema: Any, root: Any, depth: int = 4) -> st.SearchStrategy[Any]:
    """Values that mostly fit a schema."""
    if not isinstance(schema, dict) or depth < 0:
        return st.none()
    if "$ref" in schema:
        return values(target(schema["$ref"], root), root, depth - 1)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return st.one_of([values(one, root, depth - 1) for one in schema[keyword]])
    if "allOf" in schema:
        held = [values(one, root, depth - 1) for one in schema["allOf"]]
        return st.tuples(*held).map(joined)
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if schema.get("type") == "object":
        return object_values(schema, root, depth)
    if schema.get("type") == "array":
        return st.lists(values(schema.get("items"), root, depth - 1), max_size=2)
    simple = {"integer": st.integers(-5, 5), "boolean": st.booleans()}
    return simple.get(str(schema.get("type")), st.sampled_from(["a", "bc"]) | st.none())


def object_values(schema: Any, root: Any, depth: int) -> st.SearchStrategy[Any]:
    held = {
        name: values(inner, root, depth - 1)
        for name, inner in schema.get("properties", {}).items()
        if depth > 0 or name in schema.get("required", ())
    }
    required = {name: held.pop(name) for name in schema.get("required", ()) if name in held}
    return st.fixed_dictionaries(required, optional=held)


def target(reference: str, root: Any) -> Any:
    if reference == "#named":
        return root["definitions"]["n"]
    found = root
    for step in reference.split("/")[1:]:
        found = found[step.replace("~1", "/").replace("%20", " ")]
    return found


def joined(parts: tuple[Any, ...]) -> Any:
    if all(isinstance(part, dict) for part in parts):
        return {key: value for part in parts for key, value in part.items()}
    return parts[0]


ODD = documents([*LEAVES, *ODD_LEAVES, *REFERENCES])


@given(schema=ODD)
def test_a_form_has_problems_where_a_second_opinion_has_them(schema: Any) -> None:
    form = strict_form(schema)
    assert bool(form.problems) == bool(faults(form.schema)), (form.problems, faults(form.schema))
    assert bool(strict_problems(form.schema)) == bool(form.problems)


@given(schema=ODD)
def test_a_form_refers_only_to_what_is_there_and_is_its_own_form(schema: Any) -> None:
    form = strict_schema(schema)
    response_model(form)
    assert "leads nowhere" not in " ".join(faults(form))
    assert strict_schema(form) == form


# Many schemas admit few values, so now and then most of the first examples are dropped.
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(schema=documents([*LEAVES, *REFERENCES]), data=st.data())
def test_what_fits_can_be_written_in_the_form_and_is_read_back(
    schema: Any, data: st.DataObject
) -> None:
    form: Any = strict_form(schema)
    assume(not form.problems)
    value = data.draw(values(schema, schema))
    assume(accepts(schema, value))
    answer = answered(form.schema, value)
    assert accepts(form.schema, answer)
    asked = request(schema=schema, optional_as_null=True)
    judgement = judge_reply(asked, reply(json.dumps(answer)), LadderOptions())
    assert judgement.fault is None, judgement.fault
