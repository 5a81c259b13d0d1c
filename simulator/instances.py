"""Write a value that a JSON Schema allows, by seeded choices with backtracking."""

import math
from collections.abc import Iterator
from random import Random

from simulator.numbers_and_strings import number_for, string_for
from simulator.patterns import UnsupportedPattern, text_matching
from simulator.samples import WORDS
from simulator.schema_book import DEEPEST, DeadEnd, Fact, SchemaBook, matches
from simulator.schema_tree import (
    SCALARS,
    TYPES,
    Json,
    Schema,
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
    "object": "properties required additionalProperties patternProperties minProperties",
    "array": "items prefixItems minItems maxItems contains uniqueItems",
    "string": "pattern format minLength maxLength",
    "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
}
_HINTED = {word: name for name, words in _HINTS.items() for word in words.split()}


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
        for first in (True, *[False] * (TRIES_PER_VALUE - 1)):
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise DeadEnd
            try:
                facts = list(self._facts(schemas, depth, first=first))
                return self._value_of(facts, depth, first=first)
            except DeadEnd:
                continue
        raise DeadEnd

    def _lean(self, depth: int) -> bool:
        return self._lean_always or depth >= LEAN_DEPTH or self.steps > LEAN_STEPS

    def _facts(self, schemas: list[Schema], depth: int, *, first: bool) -> Iterator[Fact]:
        def choose(options: list[Schema]) -> Schema:
            open_ = [one for one in options if self._book.least_depth(one) < math.inf]
            if not open_:
                raise DeadEnd
            if first and self._lean(depth):
                return min(open_, key=self._book.least_depth)
            one = self._random.choice(open_)
            return self._random.choice(open_) if one == {"type": "null"} else one

        read = (fact for schema in schemas for fact in self._book.facts(schema, choose))
        for number, fact in enumerate(read):
            if number == MOST_FACTS:
                raise DeadEnd
            yield fact

    def _value_of(self, facts: list[Fact], depth: int, *, first: bool) -> Json:
        listed = _listed(facts)
        if listed is not None:
            return self._one_listed(facts, listed)
        type_name = self._type(facts, depth, first=first)
        value: Json = None
        if type_name == "object":
            value = self._object(facts, depth)
        elif type_name == "array":
            value = self._array(facts, depth)
        elif type_name == "string":
            value = string_for(self._book, facts, self._random)
        elif type_name == "boolean":
            value = self._random.random() < 0.5
        elif type_name != "null":
            value = number_for(facts, self._random, whole=type_name == "integer")
        return value

    def _one_listed(self, facts: list[Fact], listed: list[Json]) -> Json:
        fitting = [
            value
            for value in listed
            if all(_type_name(value) in types_of(fact) for fact in facts)
            and all(self._book.accepts(fact, value) for fact in facts)
        ]
        if not fitting:
            raise DeadEnd
        return self._random.choice(fitting)

    def _type(self, facts: list[Fact], depth: int, *, first: bool) -> str:
        types = TYPES.intersection(*(types_of(fact) for fact in facts))
        if "number" in types:
            types -= {"integer"}
        if not types:
            raise DeadEnd
        if any("type" in fact for fact in facts):
            pool = types & SCALARS if first and self._lean(depth) else types
        else:
            pool = types & (_hints(facts) or {"string"})
            if not first or (self._daring and self._random.random() < 0.5):
                pool = types
        choice = self._random.choice(sorted(pool or types))
        return self._random.choice(sorted(pool or types)) if choice == "null" else choice

    # --- arrays ---

    def _array(self, facts: list[Fact], depth: int) -> list[Json]:
        least, most = self._item_bounds(facts, depth)
        unique = any(fact.get("uniqueItems") for fact in facts)
        values: list[Json] = []
        seen: set[str] = set()
        while len(values) < most:
            try:
                value = self._item(facts, len(values), depth, seen if unique else None)
            except DeadEnd:
                if len(values) < least:
                    raise
                break
            values.append(value)
        return values

    def _item_bounds(self, facts: list[Fact], depth: int) -> tuple[int, int]:
        """Return the least number of items, and the number to try."""
        least = max((_least_items(fact) for fact in facts), default=0)
        most = min((fact.get("maxItems", math.inf) for fact in facts), default=math.inf)
        if least > min(most, MOST_ITEMS):
            raise DeadEnd
        if self._lean(depth):
            return least, least
        wanted = max(least, 1) + self._random.randint(0, 2)
        return least, int(min(wanted, most))

    def _item(self, facts: list[Fact], index: int, depth: int, seen: set[str] | None) -> Json:
        schemas = [item_schema(fact, index) for fact in facts]
        schemas += [
            fact["contains"]
            for fact in facts
            if "contains" in fact and index < fact.get("minContains", 1)
        ]
        for _ in range(1 if seen is None else 20):
            value = self._value(schemas, depth + 1)
            key = repr(value)
            if seen is None or key not in seen:
                if seen is not None:
                    seen.add(key)
                return value
        raise DeadEnd

    # --- objects ---

    def _object(self, facts: list[Fact], depth: int) -> dict[str, Json]:
        least = max((fact.get("minProperties", 0) for fact in facts), default=0)
        most = min((fact.get("maxProperties", math.inf) for fact in facts), default=math.inf)
        declared = dict.fromkeys(name for fact in facts for name in fact.get("properties", ()))
        required = _required(facts)
        optional = [name for name in declared if name not in required]
        self._random.shuffle(optional)
        if len(required) > most or least > MOST_ITEMS:
            raise DeadEnd
        wanted = 0 if self._lean(depth) else sum(self._random.random() < 0.75 for _ in optional)
        wanted = max(wanted, min(least - len(required), len(optional)))
        chosen = {*required, *optional[: int(min(wanted, most - len(required)))]}
        built: dict[str, Json] = {}
        for name in (*declared, *required):
            if name in chosen and name not in built:
                self._add_property(built, facts, name, depth, required=name in required)
        self._add_invented(built, facts, depth, least, most)
        return built

    def _add_property(
        self,
        built: dict[str, Json],
        facts: list[Fact],
        name: str,
        depth: int,
        *,
        required: bool,
    ) -> None:
        try:
            built[name] = self._value(_views(facts, name), depth + 1)
        except DeadEnd:
            if required:
                raise

    def _add_invented(
        self, built: dict[str, Json], facts: list[Fact], depth: int, least: int, most: float
    ) -> None:
        """Add undeclared properties to reach the minimum, and to objects without declared ones."""
        free = not any("properties" in fact for fact in facts) and not self._lean(depth)
        goal = int(min(most, max(least, len(built) + self._random.randint(1, 3) if free else 0)))
        for _ in range(2 * goal):
            if len(built) >= goal:
                return
            try:
                name = self._invented_name(facts, depth)
                if name not in built:
                    built[name] = self._value(_views(facts, name), depth + 1)
            except DeadEnd:
                continue
        if len(built) < least:
            raise DeadEnd

    def _invented_name(self, facts: list[Fact], depth: int) -> str:
        rules = [fact["propertyNames"] for fact in facts if "propertyNames" in fact]
        if rules:
            return str(self._value([*rules, {"type": "string"}], depth + 1))
        patterns = [name for fact in facts for name in fact.get("patternProperties", ())]
        if not patterns:
            return f"{self._random.choice(WORDS)}_{self._random.randrange(1000)}"
        try:
            pattern = self._random.choice(patterns)
            end = "" if pattern.endswith("$") else self._random.choice(WORDS)
            return text_matching(pattern, self._random) + end
        except UnsupportedPattern:
            raise DeadEnd from None


def _listed(facts: list[Fact]) -> list[Json] | None:
    """Return the values that are in every enum and const of the facts; None without any."""
    lists = [fact["enum"] for fact in facts if "enum" in fact]
    lists += [[fact["const"]] for fact in facts if "const" in fact]
    if not lists:
        return None
    first, *others = lists
    return [value for value in first if all(_holds(other, value) for other in others)]


def _holds(values: list[Json], value: Json) -> bool:
    # In JSON 1 is 1.0 but not true.
    return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in values)


def _type_name(value: Json) -> str:
    match value:
        case bool():
            return "boolean"
        case None:
            return "null"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case _:
            return "array" if isinstance(value, list) else "object"


def _hints(facts: list[Fact]) -> set[str]:
    return {_HINTED[word] for fact in facts for word in fact if word in _HINTED}


def _least_items(fact: Fact) -> int:
    contained = fact.get("minContains", 1) if "contains" in fact else 0
    return int(max(fact.get("minItems", 0), contained))


def _required(facts: list[Fact]) -> dict[str, None]:
    """Return the required names, including the names that dependentRequired adds."""
    required = dict.fromkeys(name for fact in facts for name in fact.get("required", ()))
    waiting = list(required)
    while waiting:
        name = waiting.pop()
        for fact in facts:
            for other in fact.get("dependentRequired", {}).get(name, ()):
                if other not in required:
                    required[other] = None
                    waiting.append(other)
    return required


def _views(facts: list[Fact], name: str) -> list[Schema]:
    """Return the schemas in the facts for the property of this name."""
    return [view for fact in facts for view in _views_of(fact, name)]


def _views_of(fact: Fact, name: str) -> list[Schema]:
    views: list[Schema] = []
    if name in fact.get("properties", ()):
        views.append(fact["properties"][name])
    patterns = fact.get("patternProperties", {})
    views += [view for pattern, view in patterns.items() if matches(pattern, name)]
    if not views and "additionalProperties" in fact:
        views.append(fact["additionalProperties"])
    return views
