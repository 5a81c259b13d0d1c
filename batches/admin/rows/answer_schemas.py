"""The JSON Schema of an answer for a field: a value that fits it can be stored in the field."""

import json
from collections.abc import Iterator
from enum import Enum
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

Schema = dict[str, Any]

_TEXTS = (models.CharField, models.TextField)
_FREE = {"type", "minLength", "maxLength"}
_FORMATS = {models.EmailField: "email", models.URLField: "uri"}
_SLUG = "^[-a-zA-Z0-9_]+$"


def is_free_text(field: Any) -> bool:
    """Return True for a field that takes a text of any form."""
    schema = schema_of(field) or {}
    return schema.get("type") == "string" and schema.keys() <= _FREE


def schema_of(field: Any) -> Schema | None:
    """Return the schema of the values for a field; None for a field that no answer is asked for."""
    if field.primary_key or isinstance(field, models.GeneratedField):
        return None
    if isinstance(field, models.JSONField):
        return _choices_of(field) if field.choices else {}
    schema = _plain(field)
    return _choices_of(field) if schema and field.choices else schema


def _plain(field: Any) -> Schema | None:
    if isinstance(field, models.BooleanField):
        return {"type": "boolean"}
    if isinstance(field, models.DecimalField):
        # A number of JSON is a binary fraction, which has more places.
        return {"type": "string", "pattern": _pattern_of(field)}
    if isinstance(field, models.IntegerField | models.FloatField):
        is_whole = isinstance(field, models.IntegerField)
        return {"type": "integer" if is_whole else "number", **dict(_bounds(field))}
    return _text(field) if isinstance(field, _TEXTS) else None


def _text(field: Any) -> Schema:
    schema: Schema = {"type": "string"}
    if not field.blank:
        schema["minLength"] = 1
    if field.max_length:
        schema["maxLength"] = field.max_length
    for kind, name in _FORMATS.items():
        if isinstance(field, kind):
            schema["format"] = name
    if isinstance(field, models.SlugField) and not getattr(field, "allow_unicode", True):
        schema["pattern"] = _SLUG
    return schema


def _pattern_of(field: Any) -> str:
    """Return the pattern of the decimal numbers that a field takes."""
    places = field.decimal_places
    if field.max_digits is None:
        return "^-?[0-9]+([.][0-9]+)?$"
    whole = field.max_digits - places
    after = f"[.][0-9]{{1,{places}}}"
    if not whole:
        # Django counts the digit of a plain zero.
        return f"^-?0{after}$"
    return f"^-?[0-9]{{1,{whole}}}{f'({after})?' if places else ''}$"


def _bounds(field: Any) -> Iterator[tuple[str, Any]]:
    """Yield the bounds that the validators of a field have."""
    for word, kind, chosen in (
        ("minimum", MinValueValidator, max),
        ("maximum", MaxValueValidator, min),
    ):
        found = [one.limit_value for one in field.validators if isinstance(one, kind)]
        values = [value() if callable(value) else value for value in found]
        if values:
            bound = chosen(values)
            yield word, bound if isinstance(bound, int) else float(bound)


def _choices_of(field: Any) -> Schema | None:
    """Return the choices as JSON has them, if the field makes the same values of them again."""
    values = [_as_json(value) for value, _ in field.flatchoices]
    fitting = [value for value in values if _fits(field, value)]
    return {"enum": fitting} if fitting else None


def _as_json(value: Any) -> Any:
    if isinstance(value, Enum):
        value = value.value
    is_json = value is None or isinstance(value, bool | int | float | dict | list)
    return value if is_json else str(value)


def _fits(field: Any, value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
        field.clean(value, None)
    except (ValidationError, TypeError, ValueError):
        return False
    return True
