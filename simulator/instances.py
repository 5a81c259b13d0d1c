"""Write a value that a JSON Schema allows, by seeded choices with backtracking.

Only the common keywords are followed; the others are left to the check of the whole value.
"""

import math
from random import Random

from simulator.numbers_and_strings import number_for, string_for
from simulator.samples import WORDS
from simulator.schema_book import (
    DEEPEST,
    TYPES,
    DeadEnd,
    Fact,
    Json,
    Schema,
    SchemaBook,
    item_schema,
    types_of,
)

TRIES_PER_VALUE = 4
MOST_STEPS = 12_000  # values begun, including discarded ones: bounds the time
MOST_ITEMS = 5_000
MOST_FACTS = 2_000  # nested allOf may double them at each level

# From these bounds on only required parts are written, so that recursive schemas end.
LEAN_DEPTH = 4
LEAN_STEPS = 150

_HINTS = {
    "object": {"properties", "required", "additionalProperties", "minProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"pattern", "format", "minLength", "maxLength"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
# Objects with one of these get no invented properties.
_NAMING = {"properties", "propertyNames", "patternProperties"}


class InstanceWriter:
    """Writes one value for a schema book.

    `lean` writes as little as the schema allows; `daring` uses any type if the schema names none.
    """

    def __init__(
        self, book: SchemaBook, random: Random, *, lean: bool = False, daring: bool = False
    ) -> None:
        self._book = book
        self._random = random
        self._lean_always = lean
        self._daring = daring
        self.steps = 0

    def write(self) -> Json:
        """Return a value that probably fits. Raise DeadEnd."""
        return self._value([self._book.root], depth=0)

    def _value(self, schemas: list[Schema], depth: int) -> Json:
        if depth > DEEPEST:
            raise DeadEnd
        for attempt in range(TRIES_PER_VALUE):
            self.steps += 1
            if self.steps > MOST_STEPS:
                break
            try:
                return self._value_of(self._facts(schemas, depth, attempt), depth, attempt)
            except DeadEnd:
                continue
        raise DeadEnd

    def _lean(self, depth: int) -> bool:
        return self._lean_always or depth >= LEAN_DEPTH or self.steps > LEAN_STEPS

    def _facts(self, schemas: list[Schema], depth: int, attempt: int) -> list[Fact]:
        def choose(options: list[Schema]) -> Schema:
            open_ = [one for one in options if self._book.least_depth(one) < math.inf]
            if not open_:
                raise DeadEnd
            if self._lean(depth) and not attempt:
                return min(open_, key=self._book.least_depth)
            return self._random.choice(open_)

        facts: list[Fact] = []
        for schema in schemas:
            for fact in self._book.facts(schema, choose):
                if len(facts) == MOST_FACTS:
                    raise DeadEnd
                facts.append(fact)
        return facts

    def _value_of(self, facts: list[Fact], depth: int, attempt: int) -> Json:
        listed = _listed(facts)
        if listed is not None:
            return self._one_listed(facts, listed)
        return self._value_as(self._type(facts, depth, attempt), facts, depth)

    def _value_as(self, type_name: str, facts: list[Fact], depth: int) -> Json:
        if type_name == "object":
            return self._object(facts, depth)
        if type_name == "array":
            return self._array(facts, depth)
        if type_name == "string":
            return string_for(self._book, facts, self._random)
        if type_name in {"integer", "number"}:
            return number_for(self._book, facts, self._random, whole=type_name == "integer")
        return self._random.random() < 0.5 if type_name == "boolean" else None

    def _one_listed(self, facts: list[Fact], listed: list[Json]) -> Json:
        fitting = [value for value in listed if self._book.accepts(facts, value)]
        if not fitting:
            raise DeadEnd
        return self._random.choice(fitting)

    def _type(self, facts: list[Fact], depth: int, attempt: int) -> str:
        types = TYPES.intersection(*map(types_of, facts))
        if "number" in types:
            types -= {"integer"}
        pool = types
        if not any("type" in fact for fact in facts):
            if not attempt and not (self._daring and self._random.random() < 0.5):
                pool &= _hints(facts) or {"string"}
        elif self._lean(depth) and not attempt:
            pool -= {"array", "object"}
        if not types:
            raise DeadEnd
        return self._random.choice(sorted(pool or types))

    def _array(self, facts: list[Fact], depth: int) -> list[Json]:
        least = max((fact.get("minItems", 0) for fact in facts), default=0)
        most = min((fact.get("maxItems", math.inf) for fact in facts), default=math.inf)
        if least > min(most, MOST_ITEMS):
            raise DeadEnd
        wanted = least if self._lean(depth) else max(least, 1) + self._random.randint(0, 2)
        unique = any(fact.get("uniqueItems") for fact in facts)
        values: list[Json] = []
        try:
            while len(values) < min(wanted, most):
                schemas = [item_schema(fact, len(values)) for fact in facts]
                values.append(self._item(schemas, depth, values if unique else []))
        except DeadEnd:
            if len(values) < least:
                raise
        return values

    def _item(self, schemas: list[Schema], depth: int, others: list[Json]) -> Json:
        for _ in range(20):
            value = self._value(schemas, depth + 1)
            if value not in others:
                return value
        raise DeadEnd

    def _object(self, facts: list[Fact], depth: int) -> dict[str, Json]:
        least = max((fact.get("minProperties", 0) for fact in facts), default=0)
        most = min((fact.get("maxProperties", math.inf) for fact in facts), default=math.inf)
        required = {name for fact in facts for name in fact.get("required", ())}
        if max(least, len(required)) > min(most, MOST_ITEMS):
            raise DeadEnd
        built: dict[str, Json] = {}
        for name in self._names(facts, required, depth, least, most):
            try:
                built[name] = self._value(_views(facts, name), depth + 1)
            except DeadEnd:
                if name in required:
                    raise
        if len(built) < least:
            raise DeadEnd
        return built

    def _names(
        self, facts: list[Fact], required: set[str], depth: int, least: int, most: float
    ) -> list[str]:
        """Choose the properties to write: the required, some of the declared, some invented."""
        declared = dict.fromkeys(name for fact in facts for name in fact.get("properties", ()))
        optional = [name for name in declared if name not in required]
        self._random.shuffle(optional)
        wanted = 0 if self._lean(depth) else sum(self._random.random() < 0.75 for _ in optional)
        wanted = max(wanted, least - len(required))
        chosen = {*required, *optional[: int(min(wanted, most - len(required)))]}
        names = [name for name in declared if name in chosen] + sorted(required - declared.keys())
        if not any(fact.keys() & _NAMING for fact in facts) and not self._lean(depth):
            least = max(least, len(names) + self._random.randint(1, 3))
        for _ in range(int(min(least, most)) - len(names)):
            names.append(f"{self._random.choice(WORDS)}_{self._random.randrange(10**6)}")
        return names


def _listed(facts: list[Fact]) -> list[Json] | None:
    """Return the values of the shortest enum or const of the facts; None without any."""
    lists = [fact["enum"] for fact in facts if "enum" in fact]
    lists += [[fact["const"]] for fact in facts if "const" in fact]
    return min(lists, key=len, default=None)


def _hints(facts: list[Fact]) -> set[str]:
    return {name for name, words in _HINTS.items() if any(fact.keys() & words for fact in facts)}


def _views(facts: list[Fact], name: str) -> list[Schema]:
    """Return the schemas in the facts for the property of this name."""
    return [
        fact.get("properties", {}).get(name, fact.get("additionalProperties", True))
        for fact in facts
    ]
