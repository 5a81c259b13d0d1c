"""Select the keywords of one schema that the strict form keeps."""

from collections.abc import Iterable, Mapping
from typing import Any

from batches.engine.schemas.keywords import Schema
from batches.engine.schemas.strict import FORMATS, has_type, is_strict_pattern

NOTES = ("title", "description")
# Keywords that are kept unchanged.
VALUES = frozenset(
    "type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems "
    "maxItems pattern format".split()
)
# Keywords that are kept, with their subschemas in the strict form.
HOLDERS = frozenset(
    "properties required additionalProperties items anyOf oneOf prefixItems patternProperties "
    "unevaluatedProperties".split()
)
# Keywords that are left out, since answers are checked against the original schema. They may only
# name declared properties, since a closed object does not allow others.
CONDITIONS = frozenset("then else dependentSchemas dependencies dependentRequired".split())

NULL = {"type": "null"}
_NARROWER = frozenset("const allOf anyOf oneOf not $ref".split())
_TYPE_OF_KEYWORD = {
    **dict.fromkeys(("properties", "required", "additionalProperties"), "object"),
    **dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array"),
    **dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), "number"),
    "multipleOf": "number",
}
_TYPE_OF_VALUE = {bool: "boolean", int: "integer", float: "number", str: "string"}


def notes_of(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of a schema that a model may read."""
    return {keyword: node[keyword] for keyword in NOTES if isinstance(node.get(keyword), str)}


def own_values(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema's constraints on values that strict mode supports, with a type."""
    kept = {
        keyword: value
        for keyword, value in node.items()
        if keyword in VALUES and _is_strict(keyword, value)
    }
    kinds = kept.get("type") or _types_meant(node)
    if isinstance(kinds, list) and len(kinds) == 1:
        kinds = kinds[0]
    return {**kept, "type": kinds} if kinds else kept


def _is_strict(keyword: str, value: Any) -> bool:
    if keyword == "format":
        return value in FORMATS
    return keyword != "pattern" or is_strict_pattern(value)


def _types_meant(node: Mapping[str, Any]) -> str | list[str] | None:
    """Return the types that a schema without a type implies."""
    if "const" in node:
        return _types_of([node["const"]])
    if "enum" in node:
        return _types_of(node["enum"])
    return next((_TYPE_OF_KEYWORD[key] for key in node if key in _TYPE_OF_KEYWORD), None)


def _types_of(values: Iterable[Any]) -> list[str] | None:
    kinds = [_TYPE_OF_VALUE.get(type(one), "null" if one is None else "") for one in values]
    found = list(dict.fromkeys(kinds))
    if "number" in found and "integer" in found:
        found.remove("integer")
    return None if "" in found else found


def is_never(node: Any) -> bool:
    """Return True if no value fits a schema, in one of the spellings that generators use."""
    return node is False or (isinstance(node, Mapping) and node.get("not") in ({}, True))


def is_anything(node: Any) -> bool:
    """Return True if any value fits a schema."""
    return node is True or (isinstance(node, Mapping) and not node.keys() - {*NOTES, "default"})


def closed(
    part: Mapping[str, Any], properties: Mapping[str, Schema], required: Iterable[str], rest: Any
) -> dict[str, Any]:
    """Return an object with all properties required and the optional ones nullable."""
    names = set(required)
    return {
        **part,
        "properties": {
            name: inner if name in names else nullable(inner) for name, inner in properties.items()
        },
        "required": list(properties),
        "additionalProperties": rest,
    }


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    if not isinstance(schema, Mapping):
        return schema or NULL
    if not schema or (has_type(schema, "null") and _leaves_null(schema)):
        return schema
    if "anyOf" in schema and schema.keys() <= {"anyOf", *NOTES}:
        if NULL in schema["anyOf"]:
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], NULL]}
    return {"anyOf": [schema, NULL]}


def _leaves_null(schema: Mapping[str, Any]) -> bool:
    """Return True if no other keyword of a schema excludes null."""
    return not _NARROWER & schema.keys() and None in schema.get("enum", (None,))
