"""Find the subschemas of a JSON Schema, the targets of references, and the depth of values."""

import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

Json = Any
Schema = dict[str, Any] | bool

TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
SCALARS = TYPES - {"array", "object"}

_CONDITIONS = ("not", "if", "then", "else")
_INNER = ("items", "additionalProperties", "additionalItems", "contains", "propertyNames")
_LISTED = ("prefixItems", "allOf", "anyOf", "oneOf")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class CannotAnswer(ValueError):
    """No answer can be made for a schema; the message says why."""


def target(root: Schema, reference: str) -> Schema:
    """Return the target of a local reference. Raise CannotAnswer for any other reference."""
    if reference != "#" and not reference.startswith("#/"):
        raise CannotAnswer(f"$ref {reference!r}: only references such as #/$defs/name are followed")
    node: Json = root
    try:
        for step in reference.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
    except (KeyError, IndexError, ValueError, TypeError):
        node = None
    if not isinstance(node, dict | bool):
        raise CannotAnswer(f"$ref {reference!r} is not in the schema")
    return node


def types_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """Return the types that a schema allows: all types if it names none."""
    named = schema.get("type", TYPES)
    types = frozenset({named} if isinstance(named, str) else named)
    return types | {"integer"} if "number" in types else types


def item_schema(schema: Mapping[str, Any], index: int) -> Schema:
    """Return an array schema's schema for the item at this index."""
    items = schema.get("items", True)
    # Until draft 2019-09 `items` could be the list that is now prefixItems.
    prefix = items if isinstance(items, list) else schema.get("prefixItems", [])
    rest = schema.get("additionalItems", True) if isinstance(items, list) else items
    found: Schema = prefix[index] if index < len(prefix) else rest
    return found


def branches(schema: Mapping[str, Any]) -> Iterator[list[Schema]]:
    """Yield the lists of alternatives; a value must fit one schema of each list."""
    for word in ("anyOf", "oneOf"):
        if word in schema:
            yield schema[word]
    if "if" in schema:
        yield [{"allOf": [schema["if"], schema.get("then", True)]}, schema.get("else", True)]


def least_depths(root: Schema) -> dict[int, float]:
    """Return the least depth of values of each subschema by its id; infinite if without end."""
    nodes = _nodes(root)
    depths = {id(node): math.inf for node in nodes}
    changed = True
    while changed:
        changed = False
        # Innermost first: then one round is usually enough.
        for node in reversed(nodes):
            depth = _depth(root, node, depths)
            if depth < depths[id(node)]:
                depths[id(node)] = depth
                changed = True
    return depths


def known_depth(depths: Mapping[int, float], schema: Schema) -> float:
    """Return the depth of a schema from the measured depths."""
    if isinstance(schema, dict):
        return depths.get(id(schema), 0.0)
    return math.inf if schema is False else 0.0


def _nodes(root: Schema) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    waiting: list[Json] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and id(node) not in found:
            found[id(node)] = node
            waiting += _children(root, node)
    return list(found.values())


def _children(root: Schema, node: dict[str, Any]) -> Iterator[Json]:
    for word in _INNER + _CONDITIONS:
        inner = node.get(word)
        yield from inner if isinstance(inner, list) else [inner]
    for word in _LISTED:
        yield from node.get(word, ())
    for word in _NAMED:
        yield from node.get(word, {}).values()
    if "$ref" in node:
        yield target(root, node["$ref"])


def _depth(root: Schema, node: dict[str, Any], depths: Mapping[int, float]) -> float:
    if "const" in node or "enum" in node:
        return 0.0
    parts = [min((_depth_as(name, node, depths) for name in types_of(node)), default=math.inf)]
    parts += [known_depth(depths, part) for part in node.get("allOf", ())]
    for word in ("anyOf", "oneOf"):
        if word in node:
            parts.append(min(known_depth(depths, branch) for branch in node[word]))
    if "$ref" in node:
        parts.append(known_depth(depths, target(root, node["$ref"])))
    return max(parts)


def _depth_as(type_name: str, node: dict[str, Any], depths: Mapping[int, float]) -> float:
    inner: list[Schema] = []
    if type_name == "array":
        least = min(int(node.get("minItems", 0)), 1 + len(node.get("prefixItems", ())))
        inner = [item_schema(node, index) for index in range(least)]
    elif type_name == "object":
        properties = node.get("properties", {})
        inner = [properties[name] for name in node.get("required", ()) if name in properties]
    return 1 + max(known_depth(depths, schema) for schema in inner) if inner else 0.0
