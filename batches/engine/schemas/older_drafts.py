"""Rewrite keywords of older drafts of JSON Schema in the form of draft 2020-12."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from batches.engine.schemas.keywords import HOLD_MANY, HOLD_NAMED, HOLD_ONE

# In draft-04 these keywords are flags of the bounds that have the number.
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def modern(schema: Any) -> Any:
    """Return a schema of bounded depth with keywords of older drafts rewritten.

    A list of items becomes prefixItems, an exclusive bound becomes a number, and an $id that is
    only a fragment becomes an anchor. Draft 2020-12 has no other meaning for any of these. A schema
    without them is returned unchanged; its references may be changed in place.
    """
    tuples: set[int] = set()
    changed = _modern(schema, tuples)
    if tuples:
        _redirect(changed, schema, tuples)
    return changed


def _modern(node: Any, tuples: set[int]) -> Any:
    if not isinstance(node, dict):
        return node
    found: dict[str, Any] = {}
    for keyword, value in node.items():
        found[keyword] = _held(keyword, value, tuples)
    if isinstance(node.get("items"), list):
        tuples.add(id(node["items"]))
        found["prefixItems"] = found.pop("items")
        rest = found.pop("additionalItems", None)
        if rest is not None:
            found["items"] = _modern(rest, tuples)
    _modernise_values(node, found)
    same = found.keys() == node.keys() and all(found[key] is node[key] for key in node)
    return node if same else found


def _held(keyword: str, value: Any, tuples: set[int]) -> Any:
    """Return the value of a keyword with the schemas in it rewritten."""
    if keyword in HOLD_ONE and not isinstance(value, list):
        return _modern(value, tuples)
    if isinstance(value, list) and (keyword in HOLD_MANY or keyword == "items"):
        inner = [_modern(one, tuples) for one in value]
        return value if all(map(_is, inner, value)) else inner
    if keyword in HOLD_NAMED and isinstance(value, dict):
        named = {name: _modern(one, tuples) for name, one in value.items()}
        return value if all(map(_is, named.values(), value.values())) else named
    return value


def _is(one: Any, other: Any) -> bool:
    return one is other


def _modernise_values(node: dict[str, Any], found: dict[str, Any]) -> None:
    for exclusive, bound in _BOUNDS.items():
        if isinstance(node.get(exclusive), bool) and bound in node:
            found.pop(exclusive)
            if node[exclusive]:
                found[exclusive] = found.pop(bound)
    identity = node.get("$id")
    if isinstance(identity, str) and identity.startswith("#") and "$anchor" not in node:
        found.pop("$id")
        if identity != "#":
            found["$anchor"] = identity[1:]


def _redirect(changed: Any, schema: Any, tuples: set[int]) -> None:
    """Redirect references into lists of items to their new place."""
    for node in _nodes(changed):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/") and "/items/" in reference:
            node["$ref"] = _redirected(reference, schema, tuples)


def _redirected(reference: str, schema: Any, tuples: set[int]) -> str:
    steps = unquote(reference[2:]).split("/")
    is_moved = False
    value = schema
    for number, written in enumerate(steps):
        step = written.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            value = value.get(step) if isinstance(value, dict) else None
        if id(value) in tuples:
            steps[number], is_moved = "prefixItems", True
    return "#/" + quote("/".join(steps), safe="/~$") if is_moved else reference


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value
    for one in inner if isinstance(value, dict | list) else ():
        yield from _nodes(one)
