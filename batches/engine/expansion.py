"""How much work a schema makes of one value: references to references can double it each time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

# Of these, all are applied to one value, or to one part of it.
_SINGLE = frozenset(
    "not if then else items contains additionalProperties propertyNames unevaluatedItems "
    "unevaluatedProperties".split()
)
_LISTS = ("allOf", "anyOf", "oneOf")
_NAMED = ("patternProperties", "dependentSchemas")
_REFERENCES = ("$ref", "$dynamicRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expansion:
    """How often parts of a schema are applied along one path into a value, at the most.

    What comes back to itself is counted once: who validates remembers what was seen. Who lists
    errors does not, so that a recursive schema may have any number of them.
    """

    size: int
    recursive: bool


def expansion_of(schema: Any) -> Expansion:
    """The expansion of a schema whose depth is bounded."""
    if not isinstance(schema, Mapping):
        return Expansion(1, recursive=False)
    walk = _Walk(schema)
    size = walk.size_of(schema)
    return Expansion(size, recursive=walk.recursive)


class _Walk:
    def __init__(self, root: Node) -> None:
        self.recursive = False
        self._open: set[int] = set()
        self._bases: dict[int, str] = {}
        self._targets: dict[str, Node] = {}
        self._sizes: dict[int, int] = {}
        self._learn(root, "")

    def _learn(self, value: Any, base: str) -> None:
        """Note the address of every part; the depth of a schema is bounded by then."""
        if isinstance(value, list):
            for inner in value:
                self._learn(inner, base)
        if not isinstance(value, dict):
            return
        if isinstance(value.get("$id"), str):
            base = urljoin(base, value["$id"])
        if not self._targets or isinstance(value.get("$id"), str):
            self._targets.setdefault(urldefrag(base).url, value)
        self._bases[id(value)] = base
        for keyword in _ANCHORS:
            if keyword in value:
                self._targets.setdefault(f"{urldefrag(base).url}#{value[keyword]}", value)
        for inner in value.values():
            self._learn(inner, base)

    def size_of(self, node: Any) -> int:
        if not isinstance(node, Mapping):
            return 1
        if id(node) in self._open:
            self.recursive = True
            return 1
        if id(node) not in self._sizes:
            self._open.add(id(node))
            # A value has one of the properties at a place, and one of the first items.
            size = 1 + max(map(self.size_of, _exclusive(node)), default=0)
            size += sum(map(self.size_of, _together(node)))
            size += sum(map(self.size_of, self._referred(node)))
            self._sizes[id(node)] = size
            self._open.discard(id(node))
        return self._sizes[id(node)]

    def _referred(self, node: Node) -> Iterator[Any]:
        for keyword in _REFERENCES:
            if isinstance(node.get(keyword), str):
                yield self._target(urljoin(self._bases.get(id(node), ""), node[keyword]))

    def _target(self, address: str) -> Any:
        url, fragment = urldefrag(address)
        if not fragment.startswith("/"):
            return self._targets.get(f"{url}#{fragment}" if fragment else url)
        found: Any = self._targets.get(url)
        for step in unquote(fragment)[1:].split("/"):
            found = _member(found, step.replace("~1", "/").replace("~0", "~"))
        return found


def _exclusive(node: Node) -> Iterator[Any]:
    yield from node.get("properties", {}).values()
    yield from node.get("prefixItems", ())


def _together(node: Node) -> Iterator[Any]:
    for keyword in node.keys() & _SINGLE:
        yield node[keyword]
    for keyword in _LISTS:
        yield from node.get(keyword, ())
    for keyword in _NAMED:
        yield from node.get(keyword, {}).values()


def _member(value: Any, step: str) -> Any:
    if isinstance(value, list):
        return value[int(step)] if step.isdecimal() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None
