"""Read a schema as users provide it: bare, or inside the wrapper that an API expects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batches.engine.schemas.keywords import Schema

# Fields next to a schema in an API request; of these only `description` and `type` are also
# keywords of JSON Schema.
_BESIDE = frozenset("name description strict type".split())
# Fields that hold the schema or a wrapper of it. As a keyword of a schema, `format` is a string.
_HOLDERS = (
    *("schema", "json_schema", "format", "text", "response_format"),
    *("parameters", "input_schema", "function"),
)
_TYPES = (None, "json_schema", "function")
# The deepest wrapping of any API: {"text": {"format": {"schema": …}}}.
MAX_WRAPPINGS = 3


@dataclass(frozen=True, slots=True)
class DescribedSchema:
    """A schema, with its name and its strict flag from the wrapper."""

    schema: Schema
    name: str | None = None
    strict: bool = False


def described_schema(value: Any) -> DescribedSchema:
    """Return the schema in a value: the value itself, or the schema that it wraps."""
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
    """Return the field that holds the schema, if a value wraps one."""
    if not isinstance(value, Mapping) or value.get("type") not in _TYPES:
        return None
    held = [name for name in _HOLDERS if isinstance(value.get(name), Mapping)]
    return held[0] if len(held) == 1 and not value.keys() - _BESIDE - {*held} else None
