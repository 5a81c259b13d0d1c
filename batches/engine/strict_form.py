"""A schema in the form that the strict mode takes."""

from collections.abc import Mapping
from typing import Any

from batches.engine.keywords import HOLD_MANY, HOLD_NAMED, HOLD_ONE, Schema
from batches.engine.strict import FORMATS, UNSUPPORTED, is_object, required_of

_NULL = {"type": "null"}
_NARROWER = frozenset("const allOf anyOf oneOf not $ref".split())


def strict_schema(schema: Schema) -> Schema:
    """The schema as the strict mode wants it, as far as it can be put so.

    Objects are closed, all their properties are required, and one that was optional may be null.
    What strict mode does not know is left out, since every answer is checked here against the
    schema as it was. An object that is open on purpose stays open.
    """
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        # The definitions of the root are not beside it in the sense of the rule.
        named = (HOLD_NAMED - UNSUPPORTED) & schema.keys()
        beside = {key: _mapped(key, schema[key]) for key in named}
        return {"$ref": schema["$ref"], **beside}
    kept = {key: _mapped(key, value) for key, value in schema.items() if _is_kept(key, value)}
    kept = _with_branches(schema, kept)
    return _closed(kept) if is_object(kept) else kept


def _is_kept(key: str, value: Any) -> bool:
    return key not in UNSUPPORTED and (key != "format" or value in FORMATS)


def _mapped(key: str, value: Any) -> Any:
    """The value of a keyword with the schemas in it made strict."""
    if key in HOLD_ONE:
        return strict_schema(value)
    if key in HOLD_MANY:
        return [strict_schema(inner) for inner in value]
    if key in HOLD_NAMED:
        return {name: strict_schema(inner) for name, inner in value.items()}
    return value


def _with_branches(schema: Mapping[str, Any], kept: dict[str, Any]) -> dict[str, Any]:
    """With one of a oneOf put as an anyOf, and an allOf of one as what it holds."""
    if "oneOf" in schema and "anyOf" not in schema:
        kept["anyOf"] = [strict_schema(inner) for inner in schema["oneOf"]]
    if len(schema.get("allOf", ())) == 1:
        inner = strict_schema(schema["allOf"][0])
        if isinstance(inner, Mapping):
            return dict(inner) if "$ref" in inner else {**inner, **kept}
    return kept


def _closed(part: dict[str, Any]) -> dict[str, Any]:
    properties = part.get("properties", {})
    required = required_of(part)
    return {
        **part,
        "properties": {
            name: inner if name in required else _nullable(inner)
            for name, inner in properties.items()
        },
        "required": list(properties),
        "additionalProperties": part.get("additionalProperties", False) or False,
    }


def _nullable(schema: Schema) -> Schema:
    if not isinstance(schema, Mapping):
        return schema or _NULL
    kinds = schema.get("type")
    if "null" in ([kinds] if isinstance(kinds, str) else kinds or ()) and _leaves_null(schema):
        return schema
    if "anyOf" in schema and schema.keys() <= {"anyOf", "description", "title"}:
        if _NULL in schema["anyOf"]:
            return schema
        return {**schema, "anyOf": [*schema["anyOf"], _NULL]}
    return {"anyOf": [schema, _NULL]}


def _leaves_null(schema: Mapping[str, Any]) -> bool:
    """Whether nothing beside its type takes null away from a schema."""
    return not _NARROWER & schema.keys() and None in schema.get("enum", (None,))
