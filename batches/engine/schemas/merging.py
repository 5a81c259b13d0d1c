"""Merge several schemas that all apply to one value into one schema."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from batches.engine.schemas.keywords import Node

# Keywords that link a schema to others, name it, or hold definitions.
APART = frozenset(
    "allOf $ref $dynamicRef $defs definitions $id $anchor $dynamicAnchor $schema $comment".split()
)
# Alternatives of alternatives are multiplied out up to this number.
MAX_ALTERNATIVES = 32


class Unmergeable(ValueError):
    """Schemas that cannot be expressed as one schema, or that no value fits."""


def merged(nodes: Sequence[Node]) -> dict[str, Any]:
    """Return one schema for all of these; it has the annotations of the first.

    If two schemas have a pattern or a similar keyword, the first one is kept: the result may allow
    more than the schemas do, but never less. Raise Unmergeable.
    """
    found: dict[str, Any] = {}
    for node in nodes:
        for keyword, value in _alternatives_first(node).items():
            if keyword in found:
                found[keyword] = _both(keyword, found[keyword], value)
            else:
                found[keyword] = value
    for node in nodes:
        if node.get("additionalProperties") is False and not node.get("patternProperties"):
            _shut(found, set(node.get("properties", ())))
    return found


def _shut(found: dict[str, Any], allowed: set[str]) -> None:
    """Remove the properties that a closed object among the schemas does not declare."""
    properties = found.get("properties", {})
    shut = properties.keys() - allowed
    if shut & set(found.get("required", ())):
        raise Unmergeable(f"both required and forbidden: {', '.join(sorted(shut))[:100]}")
    if shut:
        found["properties"] = {name: properties[name] for name in properties if name in allowed}


def _alternatives_first(node: Node) -> dict[str, Any]:
    """Return the schema's own keywords, with its oneOf as an anyOf."""
    said = {keyword: value for keyword, value in node.items() if keyword not in APART}
    if "oneOf" in said:
        one_of = said.pop("oneOf")
        said["anyOf"] = _both("anyOf", said["anyOf"], one_of) if "anyOf" in said else one_of
    return said


def _both(keyword: str, one: Any, other: Any) -> Any:
    combine = _COMBINED.get(keyword)
    return one if combine is None or same(one, other) else combine(one, other)


def _types(one: Any, other: Any) -> Any:
    left, right = ([kind] if isinstance(kind, str) else list(kind) for kind in (one, other))
    common = [kind for kind in left if kind in right or (kind == "integer" and "number" in right)]
    common += [kind for kind in right if kind == "integer" and "number" in left]
    kinds = list(dict.fromkeys(common))
    if not kinds:
        raise Unmergeable("no value is of both types")
    return kinds[0] if len(kinds) == 1 else kinds


def _named(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    joined = {**one, **other}
    return {
        name: {"allOf": [one[name], other[name]]} if name in one and name in other else inner
        for name, inner in joined.items()
    }


def _all_of(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    return {"allOf": [one, other]}


def _alternatives(one: list[Any], other: list[Any]) -> list[Any]:
    if len(one) * len(other) > MAX_ALTERNATIVES:
        raise Unmergeable("there are too many alternatives")
    return [{"allOf": [left, right]} for left, right in product(one, other)]


def _values(one: list[Any], other: list[Any]) -> list[Any]:
    common = [value for value in one if any(same(value, another) for another in other)]
    if not common:
        raise Unmergeable("no value is in both enums")
    return common


def _const(one: Any, other: Any) -> Any:
    raise Unmergeable(f"no value is both {one!r} and {other!r}"[:200])


def _either(one: list[str], other: list[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def same(one: Any, other: Any) -> bool:
    """Return True if two values are equal as JSON, where true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


_COMBINED: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "properties": _named,
    "patternProperties": _named,
    "additionalProperties": _all_of,
    "unevaluatedProperties": _all_of,
    "items": _all_of,
    "anyOf": _alternatives,
    "enum": _values,
    "const": _const,
    "required": _either,
    "minimum": max,
    "exclusiveMinimum": max,
    "minItems": max,
    "maximum": min,
    "exclusiveMaximum": min,
    "maxItems": min,
}
