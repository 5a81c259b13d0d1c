"""Indented JSON, line by line, with each validation error beside the line that it concerns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of JSON and the faults of the value that begins on it."""

    text: str
    faults: Sequence[str] = ()


def marked_lines(value: Any, faults: Mapping[Place, Sequence[str]]) -> list[Line]:
    """Return a value as lines of indented JSON. `faults` maps places in the value to errors."""
    return list(_lines(value, (), "", "", faults))


def faults_of(value: Any, model: type[BaseModel]) -> dict[Place, list[str]]:
    """Return the validation errors of a value by place."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        found: dict[Place, list[str]] = {}
        for fault in error.errors(include_url=False, include_input=False, include_context=False):
            found.setdefault(tuple(fault["loc"]), []).append(fault["msg"])
        return found
    return {}


def _lines(
    value: Any, place: Place, head: str, tail: str, faults: Mapping[Place, Sequence[str]]
) -> Iterator[Line]:
    indent = "  " * len(place)
    mine = faults.get(place, ())
    if not isinstance(value, dict | list) or not value:
        yield Line(f"{indent}{head}{json.dumps(value, ensure_ascii=False)}{tail}", mine)
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield Line(f"{indent}{head}{opening}", mine)
    members = list(value.items() if isinstance(value, dict) else enumerate(value))
    for number, (key, inner) in enumerate(members, start=1):
        name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(value, dict) else ""
        comma = "," if number < len(members) else ""
        yield from _lines(inner, (*place, key), name, comma, faults)
    yield Line(f"{indent}{closing}{tail}")
