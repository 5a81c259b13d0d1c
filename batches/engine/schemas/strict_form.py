"""Convert a schema into the form that the strict mode accepts."""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from batches.engine.schemas.cache import SchemaCache
from batches.engine.schemas.keywords import Node, Place, Schema, subschemas
from batches.engine.schemas.merging import Unmergeable, merged
from batches.engine.schemas.older_drafts import modern
from batches.engine.schemas.references import META_SCHEMA, References, Unfollowable
from batches.engine.schemas.strict import (
    DEFINITIONS,
    MAX_KEPT_BYTES,
    SIZE_RULES,
    StrictProblem,
    enumerated,
    has_type,
    problems_at,
    strict_problems,
)
from batches.engine.schemas.strict_parts import (
    CONDITIONS,
    HOLDERS,
    VALUES,
    closed,
    is_anything,
    is_never,
    notes_of,
    own_values,
)

# A reference with other keywords next to it is inlined, up to these sizes of the form.
MAX_INLINED = 3_000
MAX_WRITTEN = 15_000
# Bound on references inside inlined references.
MAX_NESTED = 12

# Stands for a schema that has no strict form: nothing fits it, and strict mode refuses it.
_IMPOSSIBLE: dict[str, Any] = {"allOf": [False]}
_SAID = VALUES | HOLDERS | CONDITIONS
_REFINING = frozenset({"required", "type"})
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_ODD_CHARS = re.compile(r"[^A-Za-z0-9_.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class StrictForm:
    """A schema as close to the strict mode as possible, and the remaining problems.

    The places of the problems are places in the original schema, if there are any.
    """

    schema: Schema
    problems: tuple[StrictProblem, ...]


def strict_schema(schema: Schema) -> Schema:
    """Return the strict form of a schema, as far as it has one.

    Objects are closed, all their properties are required, and optional properties become nullable.
    References point to definitions at the root, or are inlined. Keywords that strict mode does not
    support are left out, since every answer is checked here against the original schema. An object
    that is open on purpose stays open.
    """
    return strict_form(schema).schema


def strict_form(schema: Schema) -> StrictForm:
    """Return the strict form of a schema, with the remaining problems."""
    if not isinstance(schema, Mapping):
        return StrictForm(schema, tuple(strict_problems(schema)))
    return _FORMS(json.dumps(schema))


def _form_of(text: str) -> StrictForm:
    schema = modern(json.loads(text))
    try:
        form = _written(schema, max_inlined=MAX_INLINED)
        # Inlined schemas count each time they occur, and are nested more deeply than definitions.
        is_large = any(problem.rule in SIZE_RULES for problem in form.problems)
        return _written(schema, max_inlined=0) if is_large else form
    except (Unfollowable, RecursionError) as error:
        problem = StrictProblem("known_ref", "root", f"its references cannot be followed: {error}")
        return StrictForm(schema, (*strict_problems(schema), problem))


_FORMS = SchemaCache(_form_of, most_bytes=MAX_KEPT_BYTES)


def _written(schema: dict[str, Any], *, max_inlined: int) -> StrictForm:
    writer = _Writer(schema, max_inlined)
    form = writer.form()
    if not isinstance(form, Mapping):
        return StrictForm(form, tuple(strict_problems(form)))
    found = problems_at(form, writer.places)
    # A schema that is inlined several times has one place in the original: report it once.
    explained = dict.fromkeys(writer.explained(problem) for problem in found)
    return StrictForm(form, tuple(explained))


@dataclass(frozen=True, slots=True)
class _Link:
    """A schema that another schema refers to, or has in its allOf."""

    node: Any
    is_reference: bool


_NOWHERE = _Link(node=False, is_reference=False)


class _Writer:
    """Writes the strict form of a schema from its root, then of the definitions that it needs."""

    def __init__(self, root: dict[str, Any], max_inlined: int) -> None:
        self._max_inlined = max_inlined
        self.places: dict[int, str] = {}
        self._root = root
        self._references = References(root)
        self._pointers: dict[int, str] = {id(root): "#"}
        self._taken = {name for keyword in DEFINITIONS for name in root.get(keyword, ())}
        self._left: deque[tuple[str, str, Node]] = deque()
        # Schemas that are being written: a link back to one of them becomes a reference.
        self._open: list[int] = []
        self._reasons: dict[str, str] = {}
        self._written = self._inlined = self._inlining = 0
        # Keep all forms alive: otherwise the id of a discarded form might be reused for another.
        self._kept: list[Any] = []

    def form(self) -> Schema:
        form = self._form_of_root()
        if not isinstance(form, Mapping):
            return form
        definitions: dict[str, dict[str, Schema]] = {}
        while self._left:
            keyword, name, node = self._left.popleft()
            definitions.setdefault(keyword, {})[name] = self._content(node)
        return {**form, **definitions}

    def explained(self, problem: StrictProblem) -> StrictProblem:
        """Return a problem with the reason why the schema has no strict form."""
        if problem.rule != "unsupported_keyword" or not problem.message.startswith("allOf "):
            return problem
        reason = self._reasons.get(problem.place, "its parts cannot be merged")
        return replace(problem, message=f"it has no strict form: {reason}")

    def _form_of_root(self) -> Schema:
        self._open.append(id(self._root))
        found = self._referred(self._root)
        if found is None:
            form: Schema = self._whole(self._root, is_root=True)
        else:
            notes, target = found
            if not isinstance(target, Mapping):
                return True
            self._pointers[id(target)] = "#"
            self._open.append(id(target))
            form = {**self._whole(target, is_root=True), **notes}
            self._place(form, target)
        self._open.clear()
        return form

    def _content(self, node: Node) -> dict[str, Any]:
        """Return the form of the target of a reference."""
        self._open.append(id(node))
        content = self._whole(node)
        self._open.pop()
        return content

    def _form(self, node: Any) -> Schema:
        if not isinstance(node, Mapping) or is_never(node):
            return node is True
        self._written += 1
        self._inlined += self._inlining > 0
        found = self._referred(node)
        form = self._whole(node) if found is None else self._reference(*found)
        if isinstance(form, Mapping):
            self._place(form, node)
        return form

    def _reference(self, notes: dict[str, Any], target: Any) -> Schema:
        """Return a reference, or its target inlined with the annotations next to the reference."""
        if not isinstance(target, Mapping) or is_never(target):
            return target is True
        if notes and self._may_be_inlined(target):
            self._inlining += 1
            content = self._content(target)
            self._inlining -= 1
            return content if content == _IMPOSSIBLE else {**content, **notes}
        return {"$ref": self._pointer(target)}

    def _may_be_inlined(self, target: Node) -> bool:
        is_new = id(target) not in self._open
        return is_new and len(self._open) < MAX_NESTED and self._inlined < self._max_inlined

    def _pointer(self, target: Node) -> str:
        if id(target) not in self._pointers:
            keyword, name = self._definition(self._references.place_of(target))
            self._pointers[id(target)] = f"#/{keyword}/{name}"
            self._left.append((keyword, name, target))
        return self._pointers[id(target)]

    def _definition(self, place: Place) -> tuple[str, str]:
        """Return the keyword and the name of the definition for a schema at a place."""
        if len(place) == 2 and place[0] in DEFINITIONS and _PLAIN_NAME.fullmatch(str(place[1])):
            return str(place[0]), str(place[1])
        named = [step for above, step in pairwise(place) if _holds_named(above)]
        base = _ODD_CHARS.sub("_", str(named[-1]) if named else "").strip("_") or "part"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return "$defs", name

    def _referred(self, node: Node) -> tuple[dict[str, Any], Any] | None:
        """Return the annotations and the target of a schema that is only a reference."""
        notes: dict[str, Any] = {}
        reached: Any = None
        seen: set[int] = set()
        link = self._only_link(node)
        while link is not None and (reached is None or link.is_reference):
            if id(node) in seen:
                return notes, True
            seen.add(id(node))
            notes = {**notes_of(node), **notes}
            reached = link.node if link.is_reference else reached
            if not isinstance(link.node, Mapping):
                break
            node = link.node
            link = self._only_link(node)
        return None if reached is None else (notes, reached)

    def _only_link(self, node: Node) -> _Link | None:
        links = self._links(node)
        return links[0] if len(links) == 1 and not _SAID & node.keys() else None

    def _links(self, node: Node) -> list[_Link]:
        targets: list[Any] = []
        if node.keys() & {"$ref", "$dynamicRef"}:
            targets = list({id(one): one for one in self._references.targets(node)}.values())
        if any(one is META_SCHEMA for one in targets) or ("$dynamicRef" in node and targets[1:]):
            return [_NOWHERE]
        held = [one for one in node.get("allOf", ()) if not is_anything(one)]
        return [
            *(_Link(one, is_reference=True) for one in targets),
            *(_Link(one, is_reference=False) for one in held),
        ]

    def _whole(self, node: Node, *, is_root: bool = False) -> dict[str, Any]:
        """Return the form of a schema, merged with all schemas that it refers to or contains."""
        opened = len(self._open)
        try:
            nodes = list(self._conjuncts(node, {id(node)}))
            said = merged(nodes)
            _check_conditions(nodes, said)
            form = self._said(said, is_root=is_root)
        except Unmergeable as reason:
            form = dict(_IMPOSSIBLE)
            self._reasons[self._place(form, node)] = str(reason)
        finally:
            del self._open[opened:]
        self._place(form, node)
        return form

    def _conjuncts(self, node: Node, seen: set[int]) -> Iterator[Node]:
        """Yield a schema and all others that apply to the same value. Raise Unmergeable."""
        if self._written > MAX_WRITTEN:
            raise Unmergeable("it grows too large")
        yield node
        for link in self._links(node):
            if not isinstance(link.node, Mapping):
                if link.node is False:
                    raise Unmergeable("no value fits it, or a reference cannot be followed")
                continue
            if id(link.node) in seen:
                continue
            if link.is_reference:
                if id(link.node) in self._open or len(self._open) >= MAX_NESTED:
                    raise Unmergeable("it refers to itself")
                self._open.append(id(link.node))
            seen.add(id(link.node))
            yield from self._conjuncts(link.node, seen)

    def _said(self, said: dict[str, Any], *, is_root: bool) -> dict[str, Any]:
        """Return the form of a schema without references."""
        if "anyOf" not in said:
            return self._alone(said)
        branches = [one for one in said.pop("anyOf") if not self._is_never(one)]
        if not branches:
            raise Unmergeable("no value fits any of its alternatives")
        own = {keyword: said[keyword] for keyword in (VALUES | HOLDERS) & said.keys()}
        if own and all(_refines(one, own, is_root=is_root) for one in branches):
            return self._alone(said)
        if is_root and len(branches) == 1:
            return self._whole({"allOf": [said, branches[0]]}, is_root=True)
        if own:
            branches = [{"allOf": [one, own]} for one in branches]
        return {**notes_of(said), "anyOf": [self._form(one) for one in branches]}

    def _is_never(self, node: Any) -> bool:
        found = self._referred(node) if isinstance(node, Mapping) else None
        return is_never(node if found is None else found[1])

    def _alone(self, said: dict[str, Any]) -> dict[str, Any]:
        if any(isinstance(one, list | dict) for one in enumerated(said)):
            raise Unmergeable("an object or a list is among the values of its enum")
        form = {**notes_of(said), **own_values(said)}
        if "prefixItems" in said:
            form["prefixItems"] = [self._form(one) for one in said["prefixItems"]]
        elif "items" in said:
            form["items"] = self._form(said["items"])
        if not has_type(form, "object"):
            return form
        if said.get("patternProperties"):
            patterns = said["patternProperties"]
            form["patternProperties"] = {key: self._form(one) for key, one in patterns.items()}
        if not is_never(said.get("unevaluatedProperties", False)):
            form["unevaluatedProperties"] = True
        return self._closed(form, said)

    def _closed(self, form: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
        rest, required = said.get("additionalProperties", False), said.get("required", ())
        properties = dict(said.get("properties", {}))
        for name in required:
            # A required property that is not declared has the schema of additional properties.
            properties.setdefault(name, said.get("additionalProperties", True))
        written = {name: self._form(inner) for name, inner in properties.items()}
        if is_never(rest) or is_anything(rest):
            return closed(form, written, required, not is_never(rest))
        return closed(form, written, required, self._form(rest))

    def _place(self, form: Any, node: Node) -> str:
        """Record the original place of a form, and return it; "" if it has none."""
        place = self._references.place_of(node)
        if not place and node is not self._root:
            return ""
        self._kept.append(form)
        self.places[id(form)] = ".".join(map(str, ("root", *place)))
        return self.places[id(form)]


def _holds_named(step: Any) -> bool:
    return step in ("properties", "patternProperties", "dependentSchemas", *DEFINITIONS)


def _refines(branch: Any, own: Mapping[str, Any], *, is_root: bool) -> bool:
    """Return True if an alternative names only properties that the schema next to it declares.

    Then it can be left out. Since a root must not be an anyOf, more is left out there.
    """
    if not isinstance(branch, Mapping):
        return branch is True
    allowed = _REFINING | {"properties"} if is_root else _REFINING
    return branch.keys() & _SAID <= allowed and set(_names_in(branch)) <= _declared(own)


def _declared(said: Mapping[str, Any]) -> set[str]:
    return {*said.get("properties", ()), *said.get("required", ())}


def _check_conditions(nodes: list[Node], said: Mapping[str, Any]) -> None:
    """Raise Unmergeable if a condition names properties that are not declared."""
    for node in nodes:
        for keyword in CONDITIONS & node.keys():
            unknown = sorted(set(_names_of_condition(keyword, node[keyword])) - _declared(said))
            if unknown:
                raise Unmergeable(f"{keyword} names {', '.join(unknown)[:100]}")


def _names_of_condition(keyword: str, value: Any) -> Iterator[str]:
    """Yield the properties that a condition names; `value` is a schema, or maps names."""
    if keyword in ("then", "else"):
        yield from _names_in(value)
        return
    for inner in value.values():
        yield from inner if isinstance(inner, list) else _names_in(inner)


def _names_in(node: Any) -> Iterator[str]:
    """Yield the names of the properties that a schema mentions."""
    if not isinstance(node, Mapping):
        return
    if "$ref" in node:
        yield "$ref"
    yield from _declared(node)
    for place, inner in subschemas(node):
        if place[0] in ("allOf", "anyOf", "oneOf", "then", "else", "dependentSchemas"):
            yield from _names_in(inner)
