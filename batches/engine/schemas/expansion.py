"""Estimate the work to validate one value. References to references can double it each time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batches.engine.schemas.keywords import Node, subschemas
from batches.engine.schemas.references import META_SCHEMA, References

# Of these schemas only one applies to a part of a value: one property, or one of the first items.
_EXCLUSIVE = frozenset({"properties", "prefixItems"})
# All of these are applied to a part of a value,
_BELOW = frozenset(
    "items contains additionalProperties propertyNames unevaluatedItems unevaluatedProperties "
    "patternProperties".split()
)
# and all of these to the value itself.
_BESIDE = frozenset("allOf anyOf oneOf not if then else dependentSchemas dependencies".split())
# Keywords with lists that a value is compared with.
_COMPARED = frozenset("enum const required dependentRequired dependencies".split())

# A meta-schema refers to itself and to its vocabularies.
_META_SCHEMA_SIZE = 200
# A number of levels that means any number.
ANY = -1
# Strings are looked up in a set; numbers, lists and objects are compared one by one.
_STRING_WEIGHT, _OTHER_WEIGHT = 1, 10


@dataclass(frozen=True, slots=True)
class Expansion:
    """The most applications of parts of a schema along one path into a value.

    A schema that refers back to itself is counted once, since the validator remembers what it has
    checked. The search for errors does not remember, so that a recursive schema can have any number
    of errors; `unrolled` returns its weight for the errors of a value with this many levels.
    """

    size: int
    weight: int
    matched: int
    patterns: int
    has_branches: bool = False
    unrolled: Callable[[int], int] | None = field(default=None, repr=False)


def expansion_of(schema: Any) -> Expansion:
    """Return the expansion of a schema of bounded depth. Raise Unfollowable."""
    if not isinstance(schema, Mapping):
        return Expansion(size=1, weight=1, matched=0, patterns=0)
    references = References(schema)
    sizes = _Walk(references, lambda _: 1)
    size = sizes.total(schema)
    weights = _Walk(references, _weight)
    return Expansion(
        size=size,
        weight=weights.total(schema),
        matched=_Walk(references, lambda node: len(set(_patterns(node)))).total(schema),
        patterns=len({pattern for _, node in references.nodes for pattern in _patterns(node)}),
        has_branches=any(node.keys() & {"anyOf", "oneOf"} for _, node in references.nodes),
        unrolled=(lambda levels: weights.total(schema, levels)) if sizes.recursive else None,
    )


class _Walk:
    """Adds up the counts of schemas along the worst path into a value."""

    def __init__(self, references: References, counts: Callable[[Node], int]) -> None:
        self.recursive = False
        self._references = references
        self._counts = counts
        self._open: set[tuple[int, int]] = set()
        self._totals: dict[tuple[int, int], int] = {}

    def total(self, node: Any, levels: int = ANY) -> int:
        """Return the total of a node, for a value with this many levels."""
        if node is META_SCHEMA:
            self.recursive = True
            return _META_SCHEMA_SIZE
        if not isinstance(node, Mapping):
            return 1
        key = (id(node), levels)
        if key in self._open:
            self.recursive = True
            return 1
        if key not in self._totals:
            self._open.add(key)
            self._totals[key] = self._counts(node) + self._within(node, levels)
            self._open.discard(key)
        return self._totals[key]

    def _within(self, node: Node, levels: int) -> int:
        found = sum(self.total(inner, levels) for inner in _held(node, _BESIDE))
        found += sum(self.total(inner, levels) for inner in self._references.targets(node))
        if levels:
            left = max(levels - 1, ANY)
            found += sum(self.total(inner, left) for inner in _held(node, _BELOW))
            parts = (self.total(inner, left) for inner in _held(node, _EXCLUSIVE))
            found += max(parts, default=0)
        return found


def _held(node: Node, keywords: frozenset[str]) -> Iterator[Any]:
    return (inner for place, inner in subschemas(node) if place[0] in keywords)


def _weight(node: Node) -> int:
    return 1 + len(node) + sum(_weight_of_data(node[key]) for key in _COMPARED & node.keys())


def _weight_of_data(value: Any) -> int:
    if isinstance(value, str):
        return _STRING_WEIGHT
    inner = value.values() if isinstance(value, dict) else value
    within = sum(map(_weight_of_data, inner)) if isinstance(value, dict | list) else 0
    return within + _OTHER_WEIGHT


def _patterns(node: Node) -> Iterator[str]:
    if isinstance(node.get("pattern"), str):
        yield node["pattern"]
    if isinstance(node.get("patternProperties"), Mapping):
        yield from node["patternProperties"]
