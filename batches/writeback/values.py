"""Make the value of a field of what a model has answered: the same value, or none at all."""

import json
from decimal import Decimal
from math import isfinite
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import CharField, DecimalField, Field, JSONField, TextField


def fitting(target: "Field[Any, Any]", value: Any) -> Any:
    """Return a JSON value as a field takes it.

    Raise ValidationError for a value that the field would not take, or would make another one of:
    3.7 is no integer, and `true` no number.
    """
    if isinstance(target, JSONField):
        return value
    if value is None:
        if not target.null:
            raise ValidationError(str(target.error_messages["null"]), code="null")
        return None
    if isinstance(target, CharField | TextField):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(target, DecimalField) and type(value) is float:
        # The shortest text of the number: 19.99, and not the nearest binary fraction.
        value = Decimal(repr(value))
    try:
        made = target.to_python(value)
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise _unfit(target, value) from error
    if isinstance(made, float) and not isfinite(made):
        raise _unfit(target, value)
    is_number = isinstance(value, int | float | Decimal)
    if is_number and isinstance(made, int | float | Decimal | UUID) and not _same(value, made):
        raise _unfit(target, value)
    return value


def _same(value: Any, made: Any) -> bool:
    is_other = isinstance(value, bool) and not isinstance(made, bool)
    return not is_other and bool(value == made)


def _unfit(target: "Field[Any, Any]", value: Any) -> ValidationError:
    shown = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
    return ValidationError(
        f"{shown} does not fit the type {type(target).__name__}.", code="invalid"
    )
