"""The keywords of a JSON Schema that contain schemas. All other values in it are data."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any] | bool
LoadedSchema = dict[str, Any] | bool
Node = Mapping[str, Any]
Place = tuple[str | int, ...]

# Keywords whose value is a schema, a list of schemas, or schemas by name.
HOLD_ONE = frozenset(
    "items additionalProperties not if then else contains propertyNames unevaluatedItems "
    "unevaluatedProperties contentSchema".split()
)
HOLD_MANY = frozenset("allOf anyOf oneOf prefixItems".split())
HOLD_NAMED = frozenset(
    "properties patternProperties dependentSchemas dependencies $defs definitions".split()
)


def subschemas(schema: Node) -> Iterator[tuple[Place, Any]]:
    """Yield the subschemas of a schema with their paths. The schema may be invalid."""
    for keyword, value in schema.items():
        if keyword in HOLD_ONE:
            yield (keyword,), value
        elif keyword in HOLD_MANY and isinstance(value, list):
            for number, inner in enumerate(value):
                yield (keyword, number), inner
        elif keyword in HOLD_NAMED and isinstance(value, Mapping):
            for name, inner in value.items():
                yield (keyword, name), inner
