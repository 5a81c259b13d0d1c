"""Answers as values by field, and when two values are the same. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

# The field of an answer that is no object.
ANSWER = "answer"
# Of a longer text the beginning is compared.
MOST_CHARS = 65_536
MOST_LABEL_CHARS = 64
# The sums of the squares of larger numbers would be infinite.
MOST_NUMBER = 1e100
TRUE, FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})

# Lists and objects are their JSON text.
Value = str | int | float | bool | None


def fields_of(parsed: str | None, text: str) -> dict[str, Value]:
    """Return an answer by field: the properties of an object, else the answer as one field.

    `parsed` is JSON text that fits the schema of the answer, if it has one.
    """
    if parsed is None:
        return {ANSWER: value_of(text)}
    try:
        found = from_json(parsed)
    except ValueError:
        return {ANSWER: value_of(parsed)}
    if not isinstance(found, dict):
        return {ANSWER: value_of(found)}
    return {name: value_of(value) for name, value in found.items()}


def value_of(value: Any) -> Value:
    """Return a value of JSON as one that can be compared."""
    if isinstance(value, str):
        return value.strip()[:MOST_CHARS]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _as_json(value)[:MOST_CHARS]


def is_same(first: Value, second: Value) -> bool:
    """Return True if two values are equal; true is not 1, while 1 is 1.0."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    return first == second


def is_right(value: Value, truth: Any) -> bool:
    """Return True if a value is the truth, which may be a text of a table.

    Numbers are compared as numbers, and texts without regard to case and surrounding space.
    """
    said, known = _plain(value), _plain(truth)
    if isinstance(value, bool):
        return known in (TRUE if value else FALSE)
    numbers = [_number(said), _number(known)]
    if _is_number(value) or _is_number(truth):
        return numbers[0] is not None and numbers[0] == numbers[1]
    return said == known


def is_known(truth: Any) -> bool:
    """Return True if a cell with the truth is not empty."""
    return _plain(truth) != ""


def label_of(value: Value) -> str | None:
    """Return a short name of a value; None if it is long."""
    text = text_of(value) or "(empty)"
    return text if len(text) <= MOST_LABEL_CHARS else None


def difference_of(first: Value, second: Value) -> float | None:
    """Return the second number minus the first; None unless both are numbers, and not huge."""
    if not (_is_number(first) and _is_number(second)):
        return None
    try:
        found = float(second) - float(first)  # type: ignore[arg-type]  # both are numbers
    except OverflowError:
        return None
    return found if abs(found) <= MOST_NUMBER else None


def in_words(fields: Mapping[str, Value]) -> str:
    """Return an answer as one text."""
    if list(fields) == [ANSWER]:
        return text_of(fields[ANSWER])
    return _as_json(fields)


def text_of(value: Value) -> str:
    """Return a value as a text; null is named."""
    return value if isinstance(value, str) else _as_json(value)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _as_json(value)
    return " ".join(text.split()).casefold()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
