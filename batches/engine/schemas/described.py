"""A schema as people hand it over: bare, or within what an API wants around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batches.engine.schemas.keywords import Schema

# What stands beside a schema in the request of an API; none of these is a keyword of JSON Schema
# but `description` and `type`.
_BESIDE = frozenset("name description strict type".split())
# What holds the schema, or something around it. As a keyword of a schema `format` is a text.
_HOLDERS = (
    *("schema", "json_schema", "format", "text", "response_format"),
    *("parameters", "input_schema", "function"),
)
_TYPES = (None, "json_schema", "function")
# As deep as APIs go: {"text": {"format": {"schema": …}}}.
MAX_WRAPPINGS = 3


@dataclass(frozen=True, slots=True)
class DescribedSchema:
    """A schema, with the name and the mode that were given with it."""

    schema: Schema
    name: str | None = None
    strict: bool = False


def described_schema(value: Any) -> DescribedSchema:
    """Return the schema in a value: the value itself, or what it is wrapped around."""
    name: str | None = None
    strict = False
    for _ in range(MAX_WRAPPINGS):
        holder = holder_of(value)
        if holder is None:
            break
        name = value["name"] if isinstance(value.get("name"), str) else name
        strict = strict or value.get("strict") is True
        value = value[holder]
    return DescribedSchema(value, name, strict)


def holder_of(value: Any) -> str | None:
    """Return the field that holds the schema, if a value is something around a schema."""
    if not isinstance(value, Mapping) or value.get("type") not in _TYPES:
        return None
    held = [name for name in _HOLDERS if isinstance(value.get(name), Mapping)]
    return held[0] if len(held) == 1 and not value.keys() - _BESIDE - {*held} else None
