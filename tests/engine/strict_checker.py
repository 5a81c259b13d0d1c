"""A second opinion on what strict mode takes, written from the rules and not from the code."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

KNOWN = {
    *("type", "enum", "const", "properties", "required", "additionalProperties", "items", "anyOf"),
    *("$ref", "$defs", "definitions", "title", "description", "pattern", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems"),
}
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}


def faults(schema: Any) -> list[str]:
    """Return what breaks a rule of strict mode in a schema that is sent."""
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return ["the root is no object"]
    return [*_faults(schema, schema, "#", 1), *_circles(schema), *_size(schema)]


def _circles(root: dict[str, Any]) -> Iterator[str]:
    """Yield the references that lead back to themselves without going into a value."""
    for keyword in ("$defs", "definitions"):
        for name, inner in root.get(keyword, {}).items():
            seen: set[str] = set()
            left = [inner]
            while left:
                node = left.pop()
                if isinstance(node, dict):
                    left += node.get("anyOf", [])
                if isinstance(node, dict) and node.get("$ref", "#") not in {"#", *seen}:
                    seen.add(node["$ref"])
                    _, holder, called = [*node["$ref"].split("/"), "", ""][:3]
                    left.append(root.get(holder, {}).get(called))
            if f"#/{keyword}/{name}" in seen:
                yield f"{name}: a circle"


def _faults(node: Any, root: dict[str, Any], at: str, depth: int) -> Iterator[str]:
    if not isinstance(node, dict):
        yield f"{at}: no schema"
        return
    yield from (f"{at}: {keyword}" for keyword in node.keys() - KNOWN)
    if at != "#" and node.keys() & {"$defs", "definitions"}:
        yield f"{at}: definitions below the root"
    if "$ref" in node:
        yield from _reference_faults(node, root, at)
        return
    yield from _value_faults(node, at)
    if "object" in _types(node) or "properties" in node:
        yield from _object_faults(node, at, depth)
        depth += 1
    for below, inner in _inner(node):
        level = 1 if below.startswith(("$defs/", "definitions/")) else depth
        yield from _faults(inner, root, f"{at}/{below}", level)


def _value_faults(node: dict[str, Any], at: str) -> Iterator[str]:
    kinds = set(_types(node))
    if "anyOf" in node and not node["anyOf"]:
        yield f"{at}: an empty anyOf"
    if "anyOf" not in node and not (kinds and kinds <= TYPES):
        yield f"{at}: no type"
    if node.get("format", "uuid") not in FORMATS:
        yield f"{at}: format"
    if any(odd in node.get("pattern", "") for odd in ("(?=", "(?!", "(?<=", "(?<!", "\\1")):
        yield f"{at}: pattern"
    if "array" in kinds and "items" not in node:
        yield f"{at}: no items"


def _object_faults(node: dict[str, Any], at: str, depth: int) -> Iterator[str]:
    if node.get("additionalProperties", True) is not False:
        yield f"{at}: open"
    if sorted(node.get("required", [])) != sorted(node.get("properties", {})):
        yield f"{at}: required"
    if depth > 10:
        yield f"{at}: too deep"


def _reference_faults(node: dict[str, Any], root: dict[str, Any], at: str) -> Iterator[str]:
    if node.keys() != {"$ref"}:
        yield f"{at}: something beside $ref"
    steps = node["$ref"].split("/")
    known = steps == ["#"] or (
        len(steps) == 3
        and steps[0] == "#"
        and steps[1] in ("$defs", "definitions")
        and isinstance(root.get(steps[1], {}).get(steps[2]), dict)
    )
    if not known:
        yield f"{at}: {node['$ref']} leads nowhere"


def _inner(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for keyword in ("properties", "$defs", "definitions"):
        for name, inner in node.get(keyword, {}).items():
            yield f"{keyword}/{name}", inner
    for number, inner in enumerate(node.get("anyOf", [])):
        yield f"anyOf/{number}", inner
    if "items" in node:
        yield "items", node["items"]


def _types(node: dict[str, Any]) -> list[str]:
    kinds = node.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _size(schema: dict[str, Any]) -> Iterator[str]:
    nodes, left = [], [schema]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            nodes.append(node)
            left += [inner for _, inner in _inner(node)]
    names = [name for node in nodes for name in node.get("properties", {})]
    names += [n for node in nodes for key in ("$defs", "definitions") for n in node.get(key, {})]
    enums = [node["enum"] for node in nodes if "enum" in node]
    values = [value for enum in enums for value in enum]
    values += [node["const"] for node in nodes if "const" in node]
    if sum(len(node.get("properties", {})) for node in nodes) > 5000 or len(values) > 1000:
        yield "too many properties or values"
    if any(len(enum) > 250 and sum(len(str(one)) for one in enum) > 15_000 for enum in enums):
        yield "a long enum"
    if sum(map(len, names)) + sum(len(str(value)) for value in values) > 120_000:
        yield "long names"


def answered(form: dict[str, Any], value: Any) -> Any:
    """Return a value as a model writes it that keeps to a strict form: null for what is left out.

    Raises LookupError if it cannot be written.
    """
    for written in _written(form, form, value):
        return written
    raise LookupError(value)


def _written(node: Any, root: dict[str, Any], value: Any) -> Iterator[Any]:
    if "$ref" in node:
        target = root
        for step in node["$ref"].split("/")[1:]:
            target = target[step]
        yield from _written(target, root, value)
    elif "anyOf" in node:
        for branch in node["anyOf"]:
            yield from _written(branch, root, value)
    else:
        yield from _own(node, root, value)


def _own(node: dict[str, Any], root: dict[str, Any], value: Any) -> Iterator[Any]:
    written = value
    if isinstance(value, list) and "items" in node:
        written = [next(_written(node["items"], root, one), _NOTHING) for one in value]
    elif isinstance(value, dict) and "properties" in node:
        if value.keys() - node["properties"].keys():
            return
        written = {
            name: next(_written(inner, root, value.get(name)), _NOTHING)
            for name, inner in node["properties"].items()
        }
    if _holds(written) and _fits(node, written):
        yield written


_NOTHING = object()
_HOLDERS = ("properties", "items", "$defs", "definitions")


def _holds(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    return value is not _NOTHING and not (
        isinstance(value, dict | list) and any(one is _NOTHING for one in inner)
    )


def _fits(node: dict[str, Any], value: Any) -> bool:
    """Return True if a value fits what a node says without the schemas in it."""
    own = {key: said for key, said in node.items() if key not in _HOLDERS}
    return jsonschema_rs.Draft202012Validator(own | _names(node)).is_valid(value)


def _names(node: dict[str, Any]) -> dict[str, Any]:
    return {"properties": dict.fromkeys(node["properties"], True)} if "properties" in node else {}
