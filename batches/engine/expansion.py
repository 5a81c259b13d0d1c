"""How much work a schema makes of one value: references to references can double it each time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from batches.engine.keywords import Node, subschemas
from batches.engine.references import META_SCHEMA, References

# A value has one of the properties at a place, and one of the first items.
_EXCLUSIVE = frozenset({"properties", "prefixItems"})
# Of these, all are applied to one value, or to one part of it.
_TOGETHER = frozenset(
    "allOf anyOf oneOf not if then else items contains additionalProperties propertyNames "
    "unevaluatedItems unevaluatedProperties patternProperties dependentSchemas dependencies".split()
)

# A meta-schema refers to itself and to its vocabularies.
_META_SCHEMA_SIZE = 200


@dataclass(frozen=True, slots=True)
class Expansion:
    """How often parts of a schema are applied along one path into a value, at the most.

    What comes back to itself is counted once: who validates remembers what was seen. Who lists
    errors does not, so that a recursive schema may have any number of them.
    """

    size: int
    recursive: bool


def expansion_of(schema: Any) -> Expansion:
    """The expansion of a schema whose depth is bounded. Raises Unfollowable."""
    if not isinstance(schema, Mapping):
        return Expansion(1, recursive=False)
    walk = _Walk(References(schema))
    size = walk.size_of(schema)
    return Expansion(size, recursive=walk.recursive)


class _Walk:
    def __init__(self, references: References) -> None:
        self.recursive = False
        self._references = references
        self._open: set[int] = set()
        self._sizes: dict[int, int] = {id(META_SCHEMA): _META_SCHEMA_SIZE}

    def size_of(self, node: Any) -> int:
        if not isinstance(node, Mapping):
            return 1
        if id(node) in self._open or node is META_SCHEMA:
            self.recursive = True
        if id(node) in self._open:
            return 1
        if id(node) not in self._sizes:
            self._open.add(id(node))
            size = 1 + max(map(self.size_of, _held(node, _EXCLUSIVE)), default=0)
            size += sum(map(self.size_of, _held(node, _TOGETHER)))
            size += sum(map(self.size_of, self._references.targets(node)))
            self._sizes[id(node)] = size
            self._open.discard(id(node))
        return self._sizes[id(node)]


def _held(node: Node, keywords: frozenset[str]) -> Iterator[Any]:
    return (inner for place, inner in subschemas(node) if place[0] in keywords)
