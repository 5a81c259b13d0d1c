"""A JSON Schema prepared for writing values: its constraints, depths and validator."""

import json
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import jsonschema_rs
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

DEEPEST = 60
LARGEST_SCHEMA = 256 * 1024
LONGEST_REASON = 300

TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})

Json = Any
Schema = dict[str, Any] | bool
Fact = dict[str, Json]  # a schema read without its references and branches
Choose = Callable[[list[Schema]], Schema]

# Keywords that can be checked without the rest of the schema.
_LOCAL = frozenset(
    "type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf "
    "minLength maxLength pattern format".split()
)


class CannotAnswer(ValueError):
    """No answer can be made for a schema; the message says why."""


class DeadEnd(Exception):
    """No value is possible after the choices made so far."""


class SchemaBook:
    """One immutable schema. Raises CannotAnswer for an invalid one."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._judge = _validator(root)
        self._judges: dict[frozenset[int], jsonschema_rs.Validator] = {}
        self._resolver = Registry().resolver_with_root(DRAFT202012.create_resource(root))
        self._targets: dict[str, Schema] = {}
        self._ends: dict[tuple[int, int], bool] = {}
        if self.least_depth(root) > DEEPEST:
            raise CannotAnswer(f"its values are nested more than {DEEPEST} levels deep")

    def objection(self, value: Json) -> str | None:
        """Return the first error of the value, or None if the schema allows it."""
        if self._judge.is_valid(value):
            return None
        return next(error.message for error in self._judge.iter_errors(value))

    def accepts(self, facts: list[Fact], value: Json) -> bool:
        """Return True if a scalar satisfies all constraints."""
        # The parts of the root live as long as this book, so their ids stay unique.
        key = frozenset(map(id, facts))
        judge = self._judges.get(key)
        if judge is None:
            local = [{word: fact[word] for word in _LOCAL & fact.keys()} for fact in facts]
            judge = self._judges[key] = _validator({"allOf": local} if local else True)
        return judge.is_valid(value)

    def facts(
        self, schema: Schema, choose: Choose, above: frozenset[str] = frozenset()
    ) -> Iterator[Fact]:
        """Yield the constraints that apply together to a value; `choose` picks each branch."""
        if not isinstance(schema, dict):
            if schema is False:
                raise DeadEnd
            return
        yield schema
        for options in _branches(schema):
            yield from self.facts(choose(options), choose, above)
        for part in schema.get("allOf", ()):
            yield from self.facts(part, choose, above)
        reference = schema.get("$ref")
        if reference in above:
            raise DeadEnd
        if reference is not None:
            yield from self.facts(self._target(reference), choose, above | {reference})

    def least_depth(self, schema: Schema) -> float:
        """Return the least number of levels of a value; infinite if there are too many."""
        depths = (levels for levels in range(DEEPEST + 1) if self._ends_within(schema, levels))
        return next(depths, math.inf)

    def _ends_within(self, schema: Schema, levels: int) -> bool:
        if not isinstance(schema, dict):
            return schema
        key = (id(schema), levels)
        if key not in self._ends:
            self._ends[key] = False  # a schema that requires itself has no value that ends
            self._ends[key] = self._some_value_ends(schema, levels)
        return self._ends[key]

    def _some_value_ends(self, schema: Fact, levels: int) -> bool:
        if "const" in schema or "enum" in schema:
            return True
        parts = [*schema.get("allOf", ())]
        if "$ref" in schema:
            parts.append(self._target(schema["$ref"]))
        return (
            all(self._ends_within(part, levels) for part in parts)
            and all(self._any_ends(options, levels) for options in _branches(schema))
            and any(self._parts_end(_needed(name, schema), levels) for name in types_of(schema))
        )

    def _any_ends(self, options: list[Schema], levels: int) -> bool:
        return any(self._ends_within(option, levels) for option in options)

    def _parts_end(self, parts: list[Schema], levels: int) -> bool:
        return all(levels > 0 and self._ends_within(part, levels - 1) for part in parts)

    def _target(self, reference: str) -> Schema:
        if reference not in self._targets:
            try:
                found: Json = self._resolver.lookup(reference).contents
            except (Unresolvable, ValueError) as error:
                raise CannotAnswer(f"$ref {reference!r} is not in the schema") from error
            if not isinstance(found, dict | bool):
                raise CannotAnswer(f"$ref {reference!r} is not a schema")
            self._targets[reference] = found
        return self._targets[reference]


def book_of(schema: Schema) -> SchemaBook:
    """Return the book of a schema; equal schemas share one. Raise CannotAnswer."""
    try:
        text = json.dumps(schema)
        if len(text) > LARGEST_SCHEMA:
            raise CannotAnswer(
                f"the schema has {len(text)} characters; the most is {LARGEST_SCHEMA}"
            )
        return _book_of(text)
    except (TypeError, RecursionError) as error:
        raise CannotAnswer(f"not a JSON Schema: {error}") from error


@lru_cache(maxsize=256)
def _book_of(text: str) -> SchemaBook:
    return SchemaBook(json.loads(text))


def types_of(schema: Fact) -> frozenset[str]:
    """Return the types that a schema allows: all types if it names none."""
    named = schema.get("type", TYPES)
    types = frozenset({named} if isinstance(named, str) else named)
    return types | {"integer"} if "number" in types else types


def item_schema(schema: Fact, index: int) -> Schema:
    """Return an array schema's schema for the item at this index."""
    prefix = schema.get("prefixItems", [])
    found: Json = prefix[index] if index < len(prefix) else schema.get("items", True)
    # Until draft 2019-09 `items` could be a list; the schema is checked as what it says it is.
    return found if isinstance(found, dict | bool) else True


def _needed(type_name: str, schema: Fact) -> list[Schema]:
    """Return the schemas of the parts that every value of this type has."""
    if type_name == "array":
        least = min(int(schema.get("minItems", 0)), 1 + len(schema.get("prefixItems", ())))
        return [item_schema(schema, index) for index in range(least)]
    if type_name == "object":
        properties = schema.get("properties", {})
        return [properties[name] for name in schema.get("required", ()) if name in properties]
    return []


def _branches(schema: Fact) -> Iterator[list[Schema]]:
    """Yield the lists of alternatives; a value must fit one schema of each list."""
    return (schema[word] for word in ("anyOf", "oneOf") if word in schema)


def _validator(schema: Schema) -> jsonschema_rs.Validator:
    # Offline: a $ref to another host or file is an error here, and never causes a request.
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise CannotAnswer(str(error).partition("\n")[0][:LONGEST_REASON]) from error
