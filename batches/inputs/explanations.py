"""Explain errors of pydantic in complete sentences."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from batches.engine.text.wording import (
    described,
    did_you_mean,
    missing_text,
    shown,
    type_text,
    value_text,
)

# The expected types, by the types of pydantic's errors.
_TYPES = {
    "string": "a string",
    "int": "an integer",
    "float": "a number",
    "decimal": "a number",
    "bool": "a boolean",
    "list": "an array",
    "dict": "an object",
    "model": "an object",
    "model_attributes": "an object",
    "dataclass": "an object",
}
_BOUNDS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "a number of at least {}"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "a number of at most {}"),
    "multiple_of": ("multiple_of", "a multiple of {}"),
}
_LENGTHS = {
    "string_too_short": ("min_length", "a string of at least {} characters"),
    "string_too_long": ("max_length", "a string of at most {} characters"),
    "too_short": ("min_length", "at least {} items"),
    "too_long": ("max_length", "at most {} items"),
}


def explained(error: ErrorDetails, param: str, names: Iterable[str] = ()) -> tuple[str, str]:
    """Return the code and the message of an error of pydantic at the place `param`.

    `names` are the known parameters, for the error of an unknown one.
    """
    if error["type"] == "missing":
        return "missing_required_parameter", missing_text(param)
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(str(error["loc"][-1]), names)
        return "unknown_parameter", f"Unknown parameter: '{param}'.{hint}"
    return "invalid_value", _message(error, param)


def _message(error: ErrorDetails, param: str) -> str:
    kind, value, bounds = error["type"], error.get("input"), error.get("ctx", {})
    expected = _TYPES.get(kind.removesuffix("_type").removesuffix("_parsing"))
    if expected or kind == "int_from_float":
        return type_text(param, value, expected or "an integer")
    if kind in _BOUNDS:
        return value_text(param, value, _expected(_BOUNDS[kind], bounds))
    if kind in _LENGTHS:
        return f"Invalid value for '{param}': {_size(value)}. {_expected(_LENGTHS[kind], bounds)}"
    return value_text(param, value, _SENTENCES.get(kind, _other)(error, bounds))


def _expected(rule: tuple[str, str], bounds: Mapping[str, Any]) -> str:
    name, words = rule
    text = words.format(bounds[name])
    return f"Expected {text.removesuffix('s') if text.split()[-2] == '1' else text}."


def _size(value: Any) -> str:
    if isinstance(value, str) and value:
        return f"{described(value)} of {len(value)} characters"
    return f"{described(value)} of {len(value)} items" if value else described(value)


def _literal(_: ErrorDetails, bounds: Mapping[str, Any]) -> str:
    # Pydantic has quoted the values already.
    names = str(bounds["expected"]).replace(" or ", " and ")
    return f"Supported values are: {names}."


def _pattern(_: ErrorDetails, bounds: Mapping[str, Any]) -> str:
    return f"Expected a string that matches {shown(bounds['pattern'])}."


def _finite(_: ErrorDetails, __: Mapping[str, Any]) -> str:
    return "Expected a finite number."


def _other(error: ErrorDetails, _: Mapping[str, Any]) -> str:
    text = error["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


_SENTENCES: dict[str, Callable[[ErrorDetails, Mapping[str, Any]], str]] = {
    "literal_error": _literal,
    "enum": _literal,
    "string_pattern_mismatch": _pattern,
    "finite_number": _finite,
}
