"""A JSON Schema prepared for writing values: its constraints, depths and validator."""

import json
import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import jsonschema_rs

from simulator.schema_tree import (
    CannotAnswer,
    Json,
    Schema,
    branches,
    known_depth,
    least_depths,
    target,
)

DEEPEST = 60
LARGEST_SCHEMA = 256 * 1024
LONGEST_REASON = 300

Fact = dict[str, Json]  # a schema read without its references and branches
Choose = Callable[[list[Schema]], Schema]

_OF_NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_OF_STRINGS = {"minLength", "maxLength", "pattern", "format"}
_OF_OTHERS = {"minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties", "required"}

# Keywords that can be checked without the rest of the schema.
_LOCAL_KEYWORDS = frozenset(_OF_NUMBERS | _OF_STRINGS | _OF_OTHERS)


class DeadEnd(Exception):
    """No value is possible after the choices made so far."""


class SchemaBook:
    """One immutable schema. Raises CannotAnswer for an invalid one."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._judge = _validator(root)
        self._judges: dict[int, jsonschema_rs.Validator] = {}
        self._depths = least_depths(root)
        depth = self.least_depth(root)
        if depth == math.inf:
            raise CannotAnswer("it allows only values without an end")
        if depth > DEEPEST:
            raise CannotAnswer(f"its values are nested more than {DEEPEST} levels deep")

    def objection(self, value: Json) -> str | None:
        """Return the first error of the value, or None if the schema allows it."""
        if self._judge.is_valid(value):
            return None
        return next(error.message for error in self._judge.iter_errors(value))

    def least_depth(self, schema: Schema) -> float:
        """Return the least number of levels of a value; infinite if it would never end."""
        return known_depth(self._depths, schema)

    def facts(
        self, schema: Schema, choose: Choose, above: frozenset[str] = frozenset()
    ) -> Iterator[Fact]:
        """Yield the constraints that apply together to a value; `choose` picks each branch."""
        if not isinstance(schema, dict):
            if schema is False:
                raise DeadEnd
            return
        yield schema
        for options in branches(schema):
            yield from self.facts(choose(options), choose, above)
        for part in schema.get("allOf", ()):
            yield from self.facts(part, choose, above)
        reference = schema.get("$ref")
        if reference in above:
            raise DeadEnd
        if reference is not None:
            yield from self.facts(target(self.root, reference), choose, above | {reference})

    def accepts(self, fact: Fact, value: Json) -> bool:
        """Return True if the value satisfies the local keywords of one constraint."""
        words = fact.keys() & _LOCAL_KEYWORDS
        if not words:
            return True
        # The parts of the root live as long as this book, so their ids stay unique.
        judge = self._judges.get(id(fact))
        if judge is None:
            judge = self._judges[id(fact)] = _validator({word: fact[word] for word in words})
        return judge.is_valid(value)


def book_of(schema: Schema) -> SchemaBook:
    """Return the book of a schema; equal schemas share one. Raise CannotAnswer."""
    try:
        text = json.dumps(schema)
    except (TypeError, RecursionError) as error:
        raise CannotAnswer(f"not a JSON Schema: {error}") from error
    if len(text) > LARGEST_SCHEMA:
        raise CannotAnswer(f"the schema has {len(text)} characters; the most is {LARGEST_SCHEMA}")
    return _book_of(text)


@lru_cache(maxsize=256)
def _book_of(text: str) -> SchemaBook:
    return SchemaBook(json.loads(text))


@lru_cache(maxsize=1024)
def matches(pattern: str, text: str) -> bool:
    """Return True if a schema's pattern matches the text, in bounded time."""
    return _validator({"pattern": pattern}).is_valid(text)


def _validator(schema: Schema) -> jsonschema_rs.Validator:
    # Offline: a $ref to another host or file is an error here, and never causes a request.
    try:
        return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise CannotAnswer(str(error).partition("\n")[0][:LONGEST_REASON]) from error
