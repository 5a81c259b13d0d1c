"""What the strict mode of the hosted API would refuse of a schema."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from batches.engine.keywords import Schema, subschemas

MAX_PROPERTIES = 5_000
MAX_OBJECT_LEVELS = 10
MAX_NAMES_CHARS = 120_000
MAX_ENUM_VALUES = 1_000

UNSUPPORTED = frozenset(
    "allOf oneOf not if then else dependentRequired dependentSchemas patternProperties "
    "propertyNames minProperties maxProperties unevaluatedProperties unevaluatedItems contains "
    "minContains maxContains uniqueItems prefixItems minLength maxLength default".split()
)
FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())


@dataclass(frozen=True, slots=True)
class StrictProblem:
    """A rule of the strict mode that a schema breaks, and where: `root.properties.a`."""

    rule: str
    place: str
    message: str


def strict_problems(schema: Schema) -> list[StrictProblem]:
    """What the hosted strict mode would refuse of a schema."""
    if not isinstance(schema, Mapping):
        return [_root_problem("the schema is no object")]
    return list(_problems_of(json.dumps(schema)))


@lru_cache(maxsize=256)
def _problems_of(text: str) -> tuple[StrictProblem, ...]:
    schema = json.loads(text)
    problems = list(_of_root(schema))
    for place, part in _parts(schema, "root"):
        problems += _of_part(part, place)
    return (*problems, *_of_size(schema))


def _root_problem(message: str) -> StrictProblem:
    return StrictProblem("root_object", "root", f"{message}; the root is to have type object")


def _of_root(schema: Mapping[str, Any]) -> Iterator[StrictProblem]:
    if "anyOf" in schema:
        yield _root_problem("the root is an anyOf")
    elif schema.get("type") != "object":
        yield _root_problem("the root is not an object")


def _of_part(part: Mapping[str, Any], place: str) -> Iterator[StrictProblem]:
    if is_object(part):
        if part.get("additionalProperties") is not False:
            message = "additionalProperties is to be false"
            yield StrictProblem("closed_objects", place, message)
        required = required_of(part)
        missing = [name for name in part.get("properties", {}) if name not in required]
        if missing:
            message = f"all properties are to be required; {', '.join(missing)[:200]} not"
            yield StrictProblem("all_required", place, message)
    for keyword in sorted(UNSUPPORTED & part.keys()):
        yield StrictProblem("unsupported_keyword", place, f"{keyword} is not supported")
    if part.get("format", "uuid") not in FORMATS:
        message = f"format {str(part['format'])[:100]!r} is not supported"
        yield StrictProblem("unsupported_format", place, message)
    if "$ref" in part and part.keys() & {"description", "title", "type", "properties", "anyOf"}:
        yield StrictProblem("lonely_ref", place, "nothing may stand beside $ref")


def _of_size(schema: Mapping[str, Any]) -> Iterator[StrictProblem]:
    parts = list(_parts(schema, "root"))
    names = [name for _, part in parts for name in part.get("properties", {})]
    values = [value for _, part in parts for value in _enum(part)]
    chars = sum(map(len, names)) + sum(len(str(value)) for value in values)
    figures = (
        ("too_many_properties", len(names), MAX_PROPERTIES, "properties"),
        ("too_many_enum_values", len(values), MAX_ENUM_VALUES, "enum values"),
        ("too_long_names", chars, MAX_NAMES_CHARS, "characters of names and enum values"),
        ("too_deep", _levels(parts), MAX_OBJECT_LEVELS, "levels of objects"),
    )
    for rule, found, most, what in figures:
        if found > most:
            yield StrictProblem(rule, "root", f"{found} {what}; the most is {most}")


def _levels(parts: Sequence[tuple[str, Mapping[str, Any]]]) -> int:
    """How deep objects stand in objects."""
    above = [place.count(".properties.") for place, part in parts if is_object(part)]
    return max(above, default=0) + 1


def _enum(part: Mapping[str, Any]) -> list[Any]:
    const = [part["const"]] if "const" in part else []
    return [*part.get("enum", ()), *const]


def is_object(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    return "properties" in part or kind == "object" or (isinstance(kind, list) and "object" in kind)


def required_of(part: Mapping[str, Any]) -> set[str]:
    return set(part.get("required", ()))


def _parts(schema: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A schema and all within it that are objects. Schemas are checked, and so of bounded depth."""
    if not isinstance(schema, Mapping):
        return
    yield place, schema
    for path, inner in subschemas(schema):
        yield from _parts(inner, ".".join(map(str, (place, *path))))
