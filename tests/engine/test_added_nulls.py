"""An answer in the strict form means what it says, without the nulls that the form alone wants."""

import copy
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.records import LadderOptions
from batches.engine.schemas.added_nulls import AddedNulls
from batches.engine.schemas.schemas import response_model
from batches.engine.schemas.strict_form import strict_schema
from batches.engine.structured.ladder import judge_reply
from tests.engine.makers import accepts, reply, request

INTEGER: dict[str, Any] = {"type": "integer"}
MAYBE: dict[str, Any] = {"type": ["integer", "null"]}


def parsed(schema: Any, answer: Any) -> Any:
    asked = request(schema=schema, optional_as_null=True)
    judgement = judge_reply(asked, reply(json.dumps(answer)), LadderOptions())
    assert judgement.fault is None, judgement.fault
    return judgement.parsed


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def kind(name: str, **properties: Any) -> dict[str, Any]:
    return {**fields(kind={"const": name}, **properties), "required": ["kind"]}


TREE = {"$ref": "#/$defs/t", "$defs": {"t": fields(n=INTEGER, a={"$ref": "#/$defs/t"})}}
KINDS = {"anyOf": [kind("p", x=INTEGER), {**kind("q", x=MAYBE), "required": ["kind", "x"]}]}
NULLS = [{"kind": "p", "x": None}, {"kind": "q", "x": None}]


@pytest.mark.parametrize(
    ("schema", "answer", "meant"),
    [
        (fields(a=INTEGER, b=MAYBE), {"a": None, "b": None}, {"b": None}),
        (fields(a={"enum": ["x", None]}), {"a": None}, {"a": None}),
        (fields(a={"type": ["string", "null"], "enum": ["x"]}), {"a": None}, {}),
        (fields(a={}), {"a": None}, {"a": None}),
        (fields(a=False, b=INTEGER), {"a": None, "b": 1}, {"b": 1}),
        ({"items": fields(a=INTEGER)}, [{"a": None}, {"a": 1}], [{}, {"a": 1}]),
        (fields(o={"anyOf": [fields(a=INTEGER), INTEGER]}), {"o": {"a": None}}, {"o": {}}),
        (fields(o={"oneOf": [fields(a=INTEGER), INTEGER]}), {"o": {"a": None}}, {"o": {}}),
        (fields(o={"allOf": [fields(a=INTEGER)]}), {"o": {"a": None}}, {"o": {}}),
        (TREE, {"n": None, "a": {"n": 1, "a": None}}, {"a": {"n": 1}}),
        (fields(a={"oneOf": [MAYBE, {"enum": ["x", None]}]}), {"a": None}, {}),
        (KINDS, {"kind": "p", "x": None}, {"kind": "p"}),
        (KINDS, {"kind": "q", "x": None}, {"kind": "q", "x": None}),
        ({"items": KINDS}, NULLS, [{"kind": "p"}, {"kind": "q", "x": None}]),
        ({"anyOf": [fields(a=INTEGER), fields(b=INTEGER)]}, {"a": None}, {}),
    ],
)
def test_only_nulls_that_the_schema_has_no_place_for_are_taken_out(
    schema: Any, answer: Any, meant: Any
) -> None:
    assert parsed(schema, answer) == meant


def test_a_null_at_any_depth_is_taken_out() -> None:
    answer: Any = {"n": None, "a": None}
    meant: Any = {}
    for _ in range(99):
        answer, meant = {"n": None, "a": answer}, {"a": meant}
    assert parsed(TREE, answer) == meant


def test_of_thousands_of_keys_each_is_looked_at_once() -> None:
    names = [f"p{number}" for number in range(3_000)]
    schema = fields(**dict.fromkeys(names, INTEGER))
    assert parsed(schema, {**dict.fromkeys(names), "p7": 7}) == {"p7": 7}
    assert parsed({"items": schema}, [dict.fromkeys(names)] * 5) == [{}] * 5


def test_a_circle_of_alternatives_comes_to_an_end() -> None:
    many = [fields(**{"a": {"$ref": "#"}, f"z{n}": INTEGER}) for n in range(300)]
    answer: Any = {"a": None}
    for _ in range(150):
        answer = {"a": answer}
    value = copy.deepcopy(answer)
    AddedNulls({"anyOf": many}).take_out(value)
    assert value


def written(schema: Any, value: Any, root: Any, *, only_allowed: bool = False) -> Any:
    """A value in the strict form of a schema: with a null for each property left out.

    Or only for those that may be null anyway: these cannot be told from those that are null.
    """
    write = partial(written, root=root, only_allowed=only_allowed)
    if "$ref" in schema:
        return write(root["$defs"]["d"], value)
    if "anyOf" in schema:
        number = next(n for n, one in enumerate(schema["anyOf"]) if fitting(one, value, root))
        return write(schema["anyOf"][number], value)
    if isinstance(value, list):
        return [write(schema["items"], inner) for inner in value]
    if isinstance(value, dict):
        properties = schema["properties"]
        return {
            name: write(inner, value[name]) if name in value else None
            for name, inner in properties.items()
            if name in value or not only_allowed or fitting(inner, None, root)
        }
    return value


def fitting(schema: Any, value: Any, root: Any) -> bool:
    return accepts({**schema, "$defs": root["$defs"]}, value)


LEAVES: list[Any] = [
    INTEGER,
    MAYBE,
    {"enum": ["y", None]},
    {"type": "string"},
    {"enum": ["x", 5]},
    {"type": "boolean"},
]


def objects(inner: st.SearchStrategy[Any], names: str) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, required, closed: {
            "type": "object",
            "properties": properties,
            "required": sorted(required & properties.keys()),
            **({"additionalProperties": False} if closed else {}),
        },
        st.dictionaries(st.sampled_from(names), inner, min_size=1, max_size=3),
        st.sets(st.sampled_from(names)),
        st.booleans(),
    )


def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Alternatives that a value has only one of: by its kind or its type."""
    told = st.builds(
        lambda one, other: {"anyOf": [with_kind(one, "p"), with_kind(other, "q")]},
        objects(inner, "abc"),
        objects(inner, "abc"),
    )
    other = objects(inner, "abc").map(lambda one: {"anyOf": [one, {"type": "integer"}]})
    return told | other


def with_kind(schema: dict[str, Any], name: str) -> dict[str, Any]:
    properties = {"kind": {"const": name}, **schema["properties"]}
    return {**schema, "properties": properties, "required": ["kind", *schema["required"]]}


schemas = st.recursive(
    st.sampled_from([*LEAVES, {"$ref": "#/$defs/d"}]),
    lambda inner: (
        objects(inner, "abc")
        | branches(inner)
        | st.builds(lambda item: {"type": "array", "items": item}, inner)
    ),
    max_leaves=8,
)


def values(schema: Any, root: Any, depth: int = 5) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return values(root["$defs"]["d"], root, depth)
    if "anyOf" in schema:
        return st.one_of([values(one, root, depth) for one in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if schema["type"] == "array":
        return st.lists(values(schema["items"], root, depth - 1), max_size=3 if depth > 0 else 0)
    if schema["type"] == "object":
        held = {
            name: values(inner, root, depth - 1)
            for name, inner in schema["properties"].items()
            if name in schema["required"] or depth > 0
        }
        required = {name: held.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(required, optional=held)
    if isinstance(schema["type"], list):
        return st.none() | st.integers(-9, 9)
    return {"integer": st.integers(-9, 9), "string": st.text(max_size=3)}.get(
        schema["type"], st.booleans()
    )


DEFINED = st.sampled_from([fields(a=INTEGER), fields(b={"type": "array", "items": INTEGER})])


@given(schema=objects(schemas, "abc"), defined=DEFINED, data=st.data())
def test_what_is_written_in_the_strict_form_is_read_as_it_was(
    schema: Any, defined: Any, data: st.DataObject
) -> None:
    root = {**schema, "$defs": {"d": {**defined, "required": []}}}
    value = data.draw(values(schema, root))
    answer = written(schema, value, root)
    response_model(strict_schema(root)).model_validate(answer)
    assert parsed(root, answer) == written(schema, value, root, only_allowed=True)
