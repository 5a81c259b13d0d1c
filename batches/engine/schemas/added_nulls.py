"""Find the nulls in an answer that only stand for properties left out, due to the strict form."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

from batches.engine.schemas.keywords import Node, Schema
from batches.engine.schemas.references import References, Unfollowable
from batches.engine.schemas.schemas import schema_of
from batches.engine.schemas.strict import is_object, required_of

# Bounds on the search for the branch that an answer took: its depth, and its steps.
MAX_LEVELS = 8
MAX_STEPS = 200_000

_TYPES: dict[str, type | tuple[type, ...]] = {
    "null": type(None),
    "boolean": bool,
    "string": str,
    "array": list,
    "object": dict,
    "integer": int,
    "number": (int, float),
}


@lru_cache(maxsize=128)
def added_nulls_of(model: type[BaseModel]) -> "AddedNulls":
    """Return the remover of added nulls for answers that must fit a model."""
    return AddedNulls(schema_of(model))


class AddedNulls:
    """Removes nulls that the strict form of a schema allows, but the schema does not."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._references = _references_of(schema)

    def take_out(self, value: Any, *, all_doubtful: bool = False) -> bool:
        """Remove added nulls in place; return True if any were removed.

        If several branches of an anyOf could apply, a null stays if one of the branches allows it.
        With `all_doubtful` such nulls are removed as well.
        """
        if self._references is None:
            return False
        return _Reading(self._references, all_doubtful=all_doubtful).of(self._schema, value)


def _references_of(schema: Schema) -> References | None:
    try:
        return References(schema) if isinstance(schema, Mapping) else None
    except Unfollowable:
        # The schema of a class may hold anything; the class validates without it.
        return None


class _Reading:
    def __init__(self, references: References, *, all_doubtful: bool) -> None:
        self._references = references
        self._all_doubtful = all_doubtful
        self._fits: dict[tuple[int, int, int], bool] = {}
        self._steps = 0

    def of(self, schema: Any, value: Any) -> bool:
        found = False
        left: list[tuple[Any, list[Node]]] = [(value, self._applied([schema], value))]
        while left and self._steps < MAX_STEPS:
            part, nodes = left.pop()
            for name in self._added(part, nodes):
                del part[name]
                found = True
            for inner, schemas in _below(part, nodes):
                if isinstance(inner, dict | list):
                    left.append((inner, self._applied(schemas, inner)))
        return found

    def _added(self, part: Any, nodes: list[Node]) -> list[str]:
        """Return the names of the properties that are null only because of the strict form."""
        if not isinstance(part, dict) or None not in part.values():
            return []
        sides = [(_properties(node), required_of(node)) for node in nodes]
        is_added = any if self._all_doubtful else all
        nulls: dict[str, list[bool]] = {name: [] for name in part if part[name] is None}
        for name, opinions in nulls.items():
            self._steps += len(sides)
            for properties, required in sides:
                if name in properties:
                    is_null = self._fit(properties[name], None, MAX_LEVELS)
                    opinions.append(name not in required and not is_null)
        return [name for name, opinions in nulls.items() if opinions and is_added(opinions)]

    def _applied(self, schemas: Iterable[Any], value: Any) -> list[Node]:
        """Return the schemas that apply to a value, with their targets and their branches."""
        found: dict[int, Node] = {}
        left = list(schemas)
        while left:
            node = left.pop()
            self._steps += 1
            if not isinstance(node, Mapping) or id(node) in found:
                continue
            found[id(node)] = node
            left += self._references.targets(node)
            left += _list(node, "allOf")
            for keyword in ("anyOf", "oneOf"):
                branches = _list(node, keyword)
                fitting = [one for one in branches if self._fit(one, value, MAX_LEVELS)]
                left += fitting or branches
        return list(found.values())

    def _fit(self, schema: Any, value: Any, levels: int) -> bool:
        """Return True if a value fits the strict form of a schema, within the search bounds."""
        if not isinstance(schema, Mapping):
            return schema is not False
        if not levels or self._steps > MAX_STEPS:
            return True
        key = (id(schema), id(value), levels)
        if key not in self._fits:
            self._steps += 1
            self._fits[key] = True  # For schemas that refer back to themselves.
            self._fits[key] = self._fit_here(schema, value, levels)
        return self._fits[key]

    def _fit_here(self, node: Node, value: Any, levels: int) -> bool:
        beside = [*self._references.targets(node), *_list(node, "allOf")]
        return (
            _is_of_type(node, value)
            and _is_of_enum(node, value)
            and all(self._fit(inner, value, levels) for inner in beside)
            and all(
                self._fit_branch(node, keyword, value, levels)
                for keyword in ("anyOf", "oneOf")
                if keyword in node
            )
            and self._fit_within(node, value, levels)
        )

    def _fit_branch(self, node: Node, keyword: str, value: Any, levels: int) -> bool:
        fitting = sum(self._fit(inner, value, levels) for inner in _list(node, keyword))
        # If two branches of a oneOf allow null, the oneOf does not.
        return fitting == 1 if keyword == "oneOf" and value is None else fitting > 0

    def _fit_within(self, node: Node, value: Any, levels: int) -> bool:
        if isinstance(value, list):
            return all(
                self._fit(schema, inner, levels - 1)
                for inner, schemas in _below(value, [node])
                for schema in schemas
            )
        if not isinstance(value, dict) or not is_object(node):
            return True
        properties, required = _properties(node), required_of(node)
        self._steps += len(value)
        if not node.get("additionalProperties") and not value.keys() <= properties.keys():
            return False
        return value.keys() >= required and all(
            (value[name] is None and name not in required)
            or self._fit(inner, value[name], levels - 1)
            for name, inner in properties.items()
            if name in value
        )


def _below(part: Any, nodes: list[Node]) -> Iterator[tuple[Any, list[Any]]]:
    """Yield the parts of a value, each with the schemas that apply to it."""
    if isinstance(part, dict):
        for name, inner in part.items():
            yield inner, [_of_property(node, name) for node in nodes]
    elif isinstance(part, list):
        for number, inner in enumerate(part):
            yield inner, [_of_item(node, number) for node in nodes]


def _of_property(node: Node, name: str) -> Any:
    properties = _properties(node)
    return properties[name] if name in properties else node.get("additionalProperties", True)


def _of_item(node: Node, number: int) -> Any:
    first = _list(node, "prefixItems")
    return first[number] if number < len(first) else node.get("items", True)


def _properties(node: Node) -> Mapping[str, Any]:
    properties: Mapping[str, Any] = node.get("properties", {})
    return properties


def _list(node: Node, keyword: str) -> list[Any]:
    return list(node.get(keyword, ()))


def _is_of_type(node: Node, value: Any) -> bool:
    kinds = node.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return True
    return any(isinstance(value, _TYPES[kind]) for kind in kinds)


def _is_of_enum(node: Node, value: Any) -> bool:
    return ("const" not in node or node["const"] == value) and (
        "enum" not in node or value in node["enum"]
    )
