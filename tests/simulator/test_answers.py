"""Answers: repeatable, and valid for whatever schema is invented."""

import contextlib
import json
import math
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.answers import (
    CannotAnswer,
    Schema,
    answer_for_schema,
    answer_text,
    embedding,
)
from simulator.effects import AnswerForm
from simulator.forms import content_for

NAMES = st.sampled_from(["name", "age", "tags", "with space", "ünïcode", "$ref-like", "a/b~c"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-1000, 1000), st.floats(-1e6, 1e6), st.text(max_size=8)
)
PATTERNS = (
    r"^[A-Z]{2}-\d{4}$",
    r"\w+@\w+\.(com|org)",
    r"^(?:red|green|blue)$",
    r"^[^a-z]{3,5}$",
    r"^\+?[0-9]{2,}( [0-9]+)*$",
    r"^[\w.-]+?$",
    r"a{2}b?c*",
    r"^\u00e9\x41.$",
    "",
)
FORMATS = (
    "date-time date time duration email hostname ipv4 ipv6 uuid uri uri-reference json-pointer "
    "regex something-unknown"
)


@st.composite
def bounds(draw: st.DrawFn, least: str, most: str, top: int) -> dict[str, int]:
    low, high = sorted((draw(st.integers(0, top)), draw(st.integers(0, top))))
    both = {least: low, most: high}
    return {word: both[word] for word in both if draw(st.booleans())}


def strings() -> st.SearchStrategy[dict[str, Any]]:
    free = bounds("minLength", "maxLength", 60)
    pattern = st.sampled_from(PATTERNS).map(lambda pattern: {"pattern": pattern})
    format_ = st.sampled_from(FORMATS.split()).map(lambda name: {"format": name})
    return st.one_of(free, pattern, format_).map(lambda rules: {"type": "string", **rules})


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "number"]))
    low = draw(st.integers(-1000, 1000) | st.just(10**12))
    room = draw(st.integers(2, 500))
    schema: dict[str, Any] = {"type": kind}
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + room
    if draw(st.booleans()):
        # A multiple lies within every room of at least twice the step.
        step = draw(st.integers(1, max(1, room // 2 - 1)))
        schema["multipleOf"] = step if kind == "integer" else step / 100
    return schema


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("type"), str) and schema["type"] != "null":
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def scalar_schemas() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        strings(),
        numbers(),
        st.lists(SCALARS, min_size=1, max_size=4).map(lambda values: {"enum": values}),
        SCALARS.map(lambda value: {"const": value}),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"description": "anything"}]),
    )


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    required = draw(st.lists(st.sampled_from([*properties, "extra"]), unique=True))
    closed = "extra" not in required and draw(st.booleans())
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False if closed else draw(inner),
    }


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "array",
        "items": draw(inner),
        "prefixItems": draw(st.lists(inner, min_size=1, max_size=3)),
        **draw(bounds("minItems", "maxItems", 5)),
    }


def composites(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        objects(inner),
        arrays(inner),
        inner.map(nullable),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
        inner.map(lambda part: {"allOf": [part, {}]}),
        # One of the branches refuses whatever the other allows.
        inner.map(lambda part: {"oneOf": [{"type": "array", "items": part}, {"type": "string"}]}),
    )


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """Schemas that some value fits, some of them with references that come back to themselves."""
    references = st.sampled_from(["#/$defs/leaf", "#/$defs/a~1b%25", "#/$defs/node"]).map(
        lambda reference: {"$ref": reference}
    )
    root = draw(st.recursive(scalar_schemas() | references, composites, max_leaves=8))
    node = {
        "type": "object",
        "properties": {
            "value": draw(scalar_schemas()),
            "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        },
        "required": ["value", "next", "children"],
        "additionalProperties": False,
    }
    definitions = {"leaf": draw(scalar_schemas()), "a/b%": {"const": "odd"}, "node": node}
    return {**root, "$defs": definitions}


@given(schema=schemas(), seed=st.integers(0, 5))
def test_the_answer_fits_whatever_schema_is_invented(schema: Schema, seed: int) -> None:
    answer = answer_for_schema(schema, seed)
    judge = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    assert judge.is_valid(json.loads(json.dumps(answer)))


@given(schema=schemas())
def test_the_answer_depends_on_the_schema_and_the_seed_alone(schema: Schema) -> None:
    assert answer_for_schema(schema, "x") == answer_for_schema(json.loads(json.dumps(schema)), "x")


KEYWORDS = (
    "type enum const properties required additionalProperties items prefixItems minItems maxItems "
    "minLength maxLength minimum exclusiveMaximum multipleOf pattern format anyOf oneOf allOf not "
    "if then else $ref uniqueItems contains propertyNames patternProperties dependentRequired"
)
JUNK = st.recursive(
    SCALARS | st.sampled_from(["object", "array", "string", "#", "#/$defs/x", "(", "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYWORDS.split()), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(schema=st.dictionaries(st.sampled_from(KEYWORDS.split()), JUNK, max_size=4))
def test_junk_for_a_schema_is_answered_rightly_or_refused(schema: Schema) -> None:
    with contextlib.suppress(CannotAnswer):
        answer = answer_for_schema(schema, 0)
        assert jsonschema_rs.is_valid(schema, answer, validate_formats=True, offline=True)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 6, "maximum": 5},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "bogus"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "^(?=a)b$"},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3},
        {"type": "string", "minLength": 10**12},
    ],
)
def test_a_schema_that_nothing_can_be_made_for_is_refused_with_a_reason(schema: Schema) -> None:
    with pytest.raises(CannotAnswer, match=r".{10}"):
        answer_for_schema(schema, 0)


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 5}]},
        {"not": {"type": "string"}},
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "object", "patternProperties": {"^x_": {"const": 1}}, "minProperties": 2},
        {"if": {"required": ["k"]}, "then": {"required": ["z"]}, "type": "object"},
        {"type": "string", "pattern": "^a+$", "minLength": 30, "maxLength": 40},
        {"type": "string", "format": "email", "maxLength": 8},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-9},
        {"type": "integer", "minimum": 10**30},
        {"enum": [1, 5, 20], "minimum": 10},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"const": 1}]},
    ],
)
def test_less_common_words_are_understood(schema: Schema) -> None:
    judge = jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    assert all(judge.is_valid(answer_for_schema(schema, seed)) for seed in range(20))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "contains": {"const": 3}, "minContains": 2},
        {"type": "object", "propertyNames": {"pattern": "^[a-c]{3}$"}, "minProperties": 2},
        {"type": "object", "required": ["a"], "dependentRequired": {"a": ["b"], "b": ["c"]}},
    ],
)
def test_a_rare_word_is_checked_though_no_value_is_made_for_it(schema: Schema) -> None:
    with pytest.raises(CannotAnswer, match="the last one tried failed"):
        answer_for_schema(schema, 0)


@pytest.mark.parametrize(
    "pattern",
    [
        *PATTERNS,
        r"^(?P<year>\d{4})-(\d\d)$",
        r"^a\Bb$",
        r"^[\u0041-\u0043\x64][^\W_]{2,}?$",
        r"^\t\/\.[^x]$",
        r"^[a\]-]{2}(-|\?)$",
        r"^(\S\s\D)+$",
        r"^[\u0000-\uFFFF]{40,}$",
        r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",
        r"^(?=.*[A-Z])(?<!x)\w{8,}$",
    ],
)
def test_a_pattern_is_followed(pattern: str) -> None:
    judge = jsonschema_rs.validator_for({"type": "string", "pattern": pattern})
    texts = [answer_for_schema({"type": "string", "pattern": pattern}, seed) for seed in range(20)]
    assert all(judge.is_valid(text) for text in texts)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^(a)\1$",
        r"^\p{Lu}\p{L}*$",
        r"^\u{1F600}$",
        r"^(a{300}){400}$",
        r"^((){65000}){65000}$",
        r"^((((((((((a+)+)+)+)+)+)+)+)+){9})\1$",
    ],
)
def test_a_pattern_beyond_us_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(CannotAnswer):
        answer_for_schema({"type": "string", "pattern": pattern}, 0)


def test_references_that_double_at_each_level_are_refused_at_once() -> None:
    definitions: dict[str, Any] = {"level_0": {"type": "integer"}}
    for level in range(22):
        reference = {"$ref": f"#/$defs/level_{level}"}
        definitions[f"level_{level + 1}"] = {"allOf": [reference, reference]}
    with pytest.raises(CannotAnswer):
        answer_for_schema({"$defs": definitions, "$ref": "#/$defs/level_22"}, 0)


def test_a_very_large_schema_is_refused() -> None:
    with pytest.raises(CannotAnswer, match="characters; the most is"):
        answer_for_schema({"enum": ["x" * 300_000]}, 0)


def test_values_that_would_be_nested_too_deeply_are_refused() -> None:
    schema: Schema = {"type": "integer"}
    for _ in range(80):
        schema = {"type": "array", "items": schema, "minItems": 1}
    with pytest.raises(CannotAnswer, match="60 levels"):
        answer_for_schema(schema, 0)


def test_optional_properties_are_there_sometimes() -> None:
    schema: Schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    found = {tuple(answer_for_schema(schema, seed)) for seed in range(40)}
    assert found == {("a",), ("a", "b")}


def test_a_text_has_20_to_60_words_and_depends_on_the_prompt() -> None:
    texts = [answer_text(0, f"prompt {number}") for number in range(500)]
    assert texts == [answer_text(0, f"prompt {number}") for number in range(500)]
    assert len(set(texts)) == 500
    lengths = {len(text.split()) for text in texts}
    assert lengths == set(range(20, 61))


@pytest.mark.parametrize("dimensions", [1, 2, 256, 3072])
def test_a_vector_has_length_1_and_the_dimensions_asked_for(dimensions: int) -> None:
    vector = embedding(0, "a text", dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1.0)
    assert vector == embedding(0, "a text", dimensions)


def test_other_texts_have_other_directions() -> None:
    one, other = embedding(0, "a text", 256), embedding(0, "another text", 256)
    assert abs(sum(a * b for a, b in zip(one, other, strict=True))) < 0.5


PERSON: Schema = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def said(form: AnswerForm, schema: Schema | None = PERSON) -> str:
    text = content_for(form, 0, "Who is it?", schema).text
    assert text is not None
    return text


def test_a_plain_answer_fits_the_schema() -> None:
    assert jsonschema_rs.is_valid(PERSON, json.loads(said("plain")))


@pytest.mark.parametrize("form", ["wrong_type", "missing_field", "schema_violation"])
@pytest.mark.parametrize(
    "schema", [PERSON, {"type": "array", "items": {"type": "integer"}}, {"enum": ["a", "b"]}]
)
def test_a_violation_is_json_that_the_schema_forbids(form: AnswerForm, schema: Schema) -> None:
    assert not jsonschema_rs.is_valid(schema, json.loads(said(form, schema)))


@pytest.mark.parametrize("form", ["fenced", "prose", "trailing_comma"])
def test_a_spoilt_answer_is_no_json_but_holds_the_right_one(form: AnswerForm) -> None:
    spoilt = said(form)
    with pytest.raises(json.JSONDecodeError):
        json.loads(spoilt)
    repaired = spoilt.replace(",}", "}")
    inside = repaired[repaired.index("{") : repaired.rindex("}") + 1]
    assert json.loads(inside) == json.loads(said("plain"))


@pytest.mark.parametrize("form", ["not_json", "length"])
def test_a_cut_or_free_answer_is_no_json(form: AnswerForm) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(said(form))


def test_a_refusal_has_no_text() -> None:
    content = content_for("refusal", 0, "x", PERSON)
    assert (content.text, content.finish) == (None, "stop")
    assert content.refusal


@pytest.mark.parametrize("form", ["length", "content_filter"])
def test_an_answer_that_was_stopped_says_so(form: AnswerForm) -> None:
    assert content_for(form, 0, "x", PERSON).finish == form


def test_forms_of_json_do_not_touch_an_answer_in_words() -> None:
    assert said("fenced", None) == said("plain", None) == answer_text(0, "Who is it?")
