"""Find the subschemas of a schema and the targets of its references."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from batches.engine.schemas.keywords import Node, Place, subschemas

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# The validator has the meta-schemas built in; META_SCHEMA stands for any of them.
_META_SCHEMAS = ("https://json-schema.org/", "http://json-schema.org/")
META_SCHEMA: Node = {"$id": DIALECT}

# The validator treats http://X:80/a/../b and http://x/b as the same address. URIs that are not in
# normal form are refused, so that it is certain which schema an address means.
_PLAIN = re.compile(r"[\w.~:/?#@!$&'()*+,;=-]*", re.ASCII)
_PLAIN_HOST = re.compile(r"[^A-Z:]*(:(?!0|(80|443|21)$)\d+)?", re.ASCII)


class Unfollowable(ValueError):
    """A reference or a URI in a schema that cannot be followed, with its place."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


class References:
    """All subschemas of a schema of bounded depth, and the targets of their references.

    Raises Unfollowable.
    """

    def __init__(self, root: Node) -> None:
        self.nodes: list[tuple[Place, Node]] = []
        self._places: dict[int, Place] = {}
        self._bases: dict[int, str] = {}
        self._resources: dict[str, Node] = {}
        self._anchors: dict[str, Node] = {}
        self._dynamic: dict[str, list[Node]] = {}
        self._learn(root, base="", place=())
        # The list grows during the loop: any target of a reference is a schema, in any place.
        self._targets = {id(node): list(self._referred(node, place)) for place, node in self.nodes}

    def targets(self, node: Node) -> list[Any]:
        """Return the targets of a schema's references; for a dynamic one, all possible targets."""
        return self._targets[id(node)]

    def place_of(self, node: Node) -> Place:
        """Return the place of a subschema; () for the root and for other objects."""
        return self._places.get(id(node), ())

    def _learn(self, node: Any, *, base: str, place: Place) -> None:
        if not isinstance(node, dict):
            return
        if place and node.get("$schema", DIALECT) not in {DIALECT, f"{DIALECT}#"}:
            message = "a nested $schema must name draft 2020-12, as which the whole schema is read"
            raise Unfollowable(message, (*place, "$schema"))
        if isinstance(node.get("$id"), str):
            base = _joined(base, node["$id"], (*place, "$id"))
        if not place or isinstance(node.get("$id"), str):
            _name(self._resources, base, node, (*place, "$id"))
        for keyword in ("$anchor", "$dynamicAnchor"):
            if keyword in node:
                _name(self._anchors, f"{base}#{node[keyword]}", node, (*place, keyword))
        if "$dynamicAnchor" in node:
            self._dynamic.setdefault(str(node["$dynamicAnchor"]), []).append(node)
        self._bases[id(node)] = base
        self._places[id(node)] = place
        self.nodes.append((place, node))
        for path, inner in subschemas(node):
            self._learn(inner, base=base, place=(*place, *path))

    def _referred(self, node: Node, place: Place) -> Iterator[Any]:
        for keyword in ("$ref", "$dynamicRef"):
            reference = node.get(keyword)
            if isinstance(reference, str):
                yield self._target(self._bases[id(node)], reference, (*place, keyword))
                if keyword == "$dynamicRef":
                    yield from self._dynamic.get(urldefrag(reference).fragment, ())

    def _target(self, base: str, reference: str, place: Place) -> Any:
        url, fragment = _joined(base, reference, place), urldefrag(reference).fragment
        if url.startswith(_META_SCHEMAS) and url not in self._resources:
            return META_SCHEMA
        if fragment.startswith("/"):
            found = self._at_pointer(url, unquote(fragment), place)
        elif fragment:
            found = self._anchors.get(f"{url}#{fragment}")
        else:
            found = self._resources.get(url)
        if not isinstance(found, dict | bool):
            message = f"{reference!r} is not in the schema, and no other document is read"
            raise Unfollowable(message, place)
        return found

    def _at_pointer(self, url: str, pointer: str, place: Place) -> Any:
        found: Any = self._resources.get(url)
        base, path = url, self._places.get(id(found), ())
        for written in pointer[1:].split("/"):
            step = written.replace("~1", "/").replace("~0", "~")
            found, path = _member(found, step), (*path, step)
            base = self._bases.get(id(found), base)
        if isinstance(found, dict) and id(found) not in self._bases:
            if "$id" in found:
                raise Unfollowable("it points to an $id outside of any schema", place)
            self._learn(found, base=base, place=path)
        return found


def _name(named: dict[str, Node], name: str, node: Node, place: Place) -> None:
    # The validator would apply any of several, and not the one whose cost is estimated here.
    if named.setdefault(name, node) != node:
        raise Unfollowable(f"{name!r} names two different schemas", place)


def _member(value: Any, step: str) -> Any:
    if isinstance(value, list):
        return value[int(step)] if step.isdecimal() and int(step) < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


def _joined(base: str, reference: str, place: Place) -> str:
    """Return the URI of the document that a reference points to."""
    address = urldefrag(reference).url
    try:
        url = urljoin(base, address) if address else base
        scheme, host, path, _, _ = urlsplit(url)
    except ValueError as error:
        raise Unfollowable(f"{reference!r} is not a valid URI: {error}", place) from error
    dotted = {".", ".."} & set(path.split("/"))
    plain = _PLAIN.fullmatch(address) and _PLAIN_HOST.fullmatch(host) and url.startswith(scheme)
    if dotted or not plain:
        raise Unfollowable(f"{reference!r} is not a URI in normal form", place)
    return url
