"""Check a schema against the rules of the hosted API's strict mode."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batches.engine.schemas.cache import SchemaCache
from batches.engine.schemas.keywords import Schema, subschemas

MAX_PROPERTIES = 5_000
MAX_OBJECT_LEVELS = 10
MAX_NAMES_CHARS = 120_000
MAX_ENUM_VALUES = 1_000
MAX_KEPT_BYTES = 64 * 1024 * 1024
# In an enum with more values than this, the total length of the strings is limited.
LONG_ENUM_VALUES = 250
MAX_LONG_ENUM_CHARS = 15_000

UNSUPPORTED = frozenset(
    "allOf oneOf not if then else dependentRequired dependentSchemas dependencies "
    "patternProperties propertyNames minProperties maxProperties unevaluatedProperties "
    "unevaluatedItems contains minContains maxContains uniqueItems prefixItems additionalItems "
    "minLength maxLength default contentEncoding contentMediaType contentSchema "
    "$anchor $dynamicAnchor $dynamicRef $recursiveAnchor $recursiveRef".split()
)
FORMATS = frozenset("date-time time date duration email hostname ipv4 ipv6 uuid".split())
SIZE_RULES = frozenset(
    "too_many_properties too_many_enum_values too_long_enum too_long_names too_deep".split()
)
# Definitions may be next to the $ref of a root; they do not constrain its value.
DEFINITIONS = ("$defs", "definitions")

_DEFINITION = re.compile(r"#/(\$defs|definitions)/([^/]*)")
# Matches refused parts of a pattern, and skips escapes and classes, where the same characters have
# no special meaning.
_PATTERN_TOKEN = re.compile(
    r"(?P<refused>\\[1-9]|\\k[<{']|\(\?<?[=!])|\\.|\[\^?(?:\\.|[^\]\\])*\]", re.DOTALL
)
# A schema with one of these is not reported as untyped; other rules may report it.
_TYPING = frozenset("type anyOf oneOf allOf $ref enum const properties items".split())
# Schemas under these keywords are not checked, since the keywords themselves are not supported.
_UNREAD = frozenset(
    "not if then else contains propertyNames unevaluatedProperties unevaluatedItems contentSchema "
    "dependencies dependentSchemas".split()
)
_CLOSING = UNSUPPORTED | {"additionalProperties"}


@dataclass(frozen=True, slots=True)
class StrictProblem:
    """A rule of the strict mode that a schema breaks, and its place: `root.properties.a`."""

    rule: str
    place: str
    message: str


def strict_problems(schema: Schema) -> list[StrictProblem]:
    """Return the reasons for which the hosted strict mode would refuse a schema."""
    if not isinstance(schema, Mapping):
        return [_root_problem("the schema is not an object")]
    return list(_PROBLEMS(json.dumps(schema)))


def _problems_of(text: str) -> tuple[StrictProblem, ...]:
    return problems_at(json.loads(text), {})


_PROBLEMS = SchemaCache(_problems_of, most_bytes=MAX_KEPT_BYTES)


def problems_at(schema: Mapping[str, Any], places: Mapping[int, str]) -> tuple[StrictProblem, ...]:
    """Return the problems of a schema; `places` overrides the places of parts, by their ids."""
    parts = list(_parts(schema, "root", places))
    definitions = {
        (keyword, name)
        for keyword in DEFINITIONS
        for name, inner in _named(schema, keyword).items()
        if isinstance(inner, Mapping)
    }
    problems = list(_of_root(schema))
    for place, part in parts:
        problems += _of_part(part, place, definitions)
    for keyword, name in sorted(_endless(schema, definitions)):
        place = places.get(id(schema[keyword][name]), f"root.{keyword}.{name}")
        message = "it refers to itself without an object or a list in between"
        problems.append(StrictProblem("known_ref", place, message))
    return (*problems, *_of_size(schema, [part for _, part in parts]))


def _root_problem(message: str) -> StrictProblem:
    return StrictProblem("root_object", "root", f"{message}; the root must have type object")


def _of_root(schema: Mapping[str, Any]) -> Iterator[StrictProblem]:
    if "anyOf" in schema:
        yield _root_problem("the root is an anyOf")
    elif schema.get("type") != "object":
        yield _root_problem("the root is not an object")


def _of_part(part: Any, place: str, definitions: set[tuple[str, str]]) -> Iterator[StrictProblem]:
    if not isinstance(part, Mapping):
        yield StrictProblem("untyped", place, f"{json.dumps(part)} is not a schema with a type")
        return
    yield from _of_object(part, place)
    yield from _of_value(part, place)
    for keyword in sorted(UNSUPPORTED & part.keys()):
        yield StrictProblem("unsupported_keyword", place, f"{keyword} is not supported")
    yield from _of_text(part, place)
    if "$ref" in part:
        yield from _of_reference(part, place, definitions)


def _of_object(part: Mapping[str, Any], place: str) -> Iterator[StrictProblem]:
    if not is_object(part):
        return
    if part.get("additionalProperties") is not False:
        yield StrictProblem("closed_objects", place, "additionalProperties must be false")
    required, properties = required_of(part), _named(part, "properties")
    missing = [name for name in properties if name not in required]
    if missing:
        message = f"all properties must be required; not required: {', '.join(missing)[:200]}"
        yield StrictProblem("all_required", place, message)
    unknown = sorted(required - properties.keys())
    if unknown:
        message = f"required, but not among the properties: {', '.join(unknown)[:200]}"
        yield StrictProblem("all_required", place, message)


def _of_value(part: Mapping[str, Any], place: str) -> Iterator[StrictProblem]:
    if not _TYPING & part.keys():
        yield StrictProblem("untyped", place, "every schema must have a type")
    if isinstance(part.get("items"), list):
        message = "a list of items (a tuple) is not supported"
        yield StrictProblem("unsupported_keyword", place, message)
    elif has_type(part, "array") and not part.keys() & {"items", "prefixItems"}:
        yield StrictProblem("untyped", place, "an array must have a schema for its items")


def _of_text(part: Mapping[str, Any], place: str) -> Iterator[StrictProblem]:
    if part.get("format", "uuid") not in FORMATS:
        message = f"format {str(part['format'])[:100]!r} is not supported"
        yield StrictProblem("unsupported_format", place, message)
    if not is_strict_pattern(part.get("pattern", "")):
        message = "look-around and back-references in a pattern are not supported"
        yield StrictProblem("unsupported_pattern", place, message)


def _of_reference(
    part: Mapping[str, Any], place: str, definitions: set[tuple[str, str]]
) -> Iterator[StrictProblem]:
    reference = part["$ref"]
    if part.keys() - {"$ref", *DEFINITIONS}:
        yield StrictProblem("lonely_ref", place, "no other keyword may be next to $ref")
    match = _DEFINITION.fullmatch(reference) if isinstance(reference, str) else None
    if reference != "#" and (match is None or match.groups() not in definitions):
        message = f"{str(reference)[:100]!r} is not a definition at the root of the schema"
        yield StrictProblem("known_ref", place, message)


def _endless(schema: Mapping[str, Any], definitions: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the definitions that are alternatives of themselves, directly or indirectly."""
    left = {key: set(_alternatives(schema[key[0]][key[1]])) for key in definitions}
    while True:
        leading = {key: known for key, found in left.items() if (known := found & left.keys())}
        if len(leading) == len(left):
            return set(leading)
        left = leading


def _alternatives(part: Any) -> Iterator[tuple[str, str]]:
    """Yield the definitions that a value itself may have to fit, not a part of the value."""
    if not isinstance(part, Mapping):
        return
    match = _DEFINITION.fullmatch(str(part.get("$ref", "")))
    if match is not None:
        yield match[1], match[2]
    for keyword in ("anyOf", "oneOf", "allOf"):
        for inner in part.get(keyword, ()):
            yield from _alternatives(inner)


def _of_size(schema: Mapping[str, Any], parts: Sequence[Any]) -> Iterator[StrictProblem]:
    nodes = [part for part in parts if isinstance(part, Mapping)]
    names = [name for part in nodes for name in _named(part, "properties")]
    defined = [name for part in nodes for keyword in DEFINITIONS for name in _named(part, keyword)]
    values = [value for part in nodes for value in enumerated(part)]
    chars = sum(map(len, [*names, *defined])) + sum(len(str(value)) for value in values)
    long_enums = [part["enum"] for part in nodes if len(part.get("enum", ())) > LONG_ENUM_VALUES]
    longest = max((sum(len(str(one)) for one in enum) for enum in long_enums), default=0)
    figures = (
        ("too_many_properties", len(names), MAX_PROPERTIES, "properties"),
        ("too_many_enum_values", len(values), MAX_ENUM_VALUES, "enum values"),
        ("too_long_enum", longest, MAX_LONG_ENUM_CHARS, "characters in a long enum"),
        ("too_long_names", chars, MAX_NAMES_CHARS, "characters of names and enum values"),
        ("too_deep", _levels(schema), MAX_OBJECT_LEVELS, "levels of objects"),
    )
    for rule, found, most, what in figures:
        if found > most:
            yield StrictProblem(rule, "root", f"{found} {what}; the most is {most}")


def _levels(part: Any) -> int:
    """Return how deeply objects are nested in objects; each definition starts at level 0."""
    if not isinstance(part, Mapping):
        return 0
    below = [(path[0] in DEFINITIONS, _levels(inner)) for path, inner in subschemas(part)]
    within = max((levels for is_apart, levels in below if not is_apart), default=0)
    apart = max((levels for is_apart, levels in below if is_apart), default=0)
    return max(within + is_object(part), apart)


def enumerated(part: Mapping[str, Any]) -> list[Any]:
    """Return the values in the enum and the const of a schema."""
    const = [part["const"]] if "const" in part else []
    return [*part.get("enum", ()), *const]


def _named(part: Mapping[str, Any], keyword: str) -> Mapping[str, Any]:
    value = part.get(keyword)
    return value if isinstance(value, Mapping) else {}


def is_object(part: Mapping[str, Any]) -> bool:
    """Return True if a schema describes objects, by its type or its properties."""
    return "properties" in part or has_type(part, "object")


def has_type(part: Mapping[str, Any], name: str) -> bool:
    """Return True if a schema allows this type by name, alone or with others."""
    kind = part.get("type")
    return kind == name or (isinstance(kind, list) and name in kind)


def required_of(part: Mapping[str, Any]) -> set[str]:
    return set(part.get("required", ()))


def is_strict_pattern(pattern: str) -> bool:
    """Return True if a pattern has neither look-around nor back-references."""
    return not any(token["refused"] for token in _PATTERN_TOKEN.finditer(pattern))


def _parts(schema: Any, place: str, places: Mapping[int, str]) -> Iterator[tuple[str, Any]]:
    """Yield a schema and all its subschemas. The schema is valid, so its depth is bounded."""
    place = places.get(id(schema), place)
    yield place, schema
    if not isinstance(schema, Mapping):
        return
    for path, inner in subschemas(schema):
        # A boolean is not a separate fault where it must be false, or the keyword is refused
        # anyway.
        is_said = isinstance(inner, bool) and path[0] in _CLOSING
        if path[0] not in _UNREAD and not is_said and not isinstance(inner, list):
            yield from _parts(inner, ".".join(map(str, (place, *path))), places)
