"""A value of an answer is stored as it is, or not at all."""

import datetime
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models

from batches.writeback.values import fitting

OPTIONAL: dict[str, Any] = {"null": True, "blank": True}
FIELDS: dict[str, Any] = {
    "char": models.CharField(max_length=200),
    "text": models.TextField(),
    "integer": models.IntegerField(),
    "small": models.PositiveSmallIntegerField(**OPTIONAL),
    "float": models.FloatField(**OPTIONAL),
    "price": models.DecimalField(max_digits=6, decimal_places=2, **OPTIONAL),
    "flag": models.BooleanField(),
    "date": models.DateField(**OPTIONAL),
    "moment": models.DateTimeField(**OPTIONAL),
    "time": models.TimeField(),
    "span": models.DurationField(),
    "uuid": models.UUIDField(),
    "json": models.JSONField(**OPTIONAL),
}
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -3, 7, 99_999, 2**53 + 1, 10**30, 10**400),
    *(0.0, 3.0, 3.7, 19.99, 0.1, 0.1 + 0.2, 1234.56, 1e22, 1e300, math.inf, math.nan),
    *("", "text", "7", "3.7", "19.99", "nan", "inf", "1e400", "true", "2026-01-02", "P3D"),
    *("2026-01-02T03:04:05+00:00", "03:04", "12345678123456781234567812345678"),
    *([], {}, [1], {"a": 1}),
]


def stored(name: str, value: Any) -> Any:
    """Return what is stored of a value. Raise ValidationError."""
    field = FIELDS[name]
    field.name = name
    return field.clean(fitting(field, value), None)


def is_same(value: Any, made: Any) -> bool:
    """Return True if a field has a value, and not one that is only near it."""
    if isinstance(value, bool) or value is None:
        return made is value
    if isinstance(value, float):
        return bool(made == (Decimal(str(value)) if isinstance(made, Decimal) else value))
    return bool(made == value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("name", FIELDS)
def test_a_value_is_stored_as_it_is_or_refused_with_a_reason(name: str, value: Any) -> None:
    try:
        made = stored(name, value)
    except ValidationError:
        return
    if isinstance(value, int | float) and name not in ("char", "text", "json"):
        assert is_same(value, made) or (name == "flag" and value in (0, 1))
    elif value is None:
        assert made is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("price", 19.99, Decimal("19.99")),
        ("price", 5, Decimal(5)),
        ("price", "19.99", Decimal("19.99")),
        ("integer", 3.0, 3),
        ("integer", "7", 7),
        ("float", 3, 3.0),
        ("flag", True, True),
        ("char", 19.99, "19.99"),
        ("char", True, "true"),
        ("text", {"a": 1}, '{"a": 1}'),
        ("date", "2026-01-02", datetime.date(2026, 1, 2)),
        ("span", "P3D", datetime.timedelta(days=3)),
        ("uuid", "12345678123456781234567812345678", uuid.UUID("1234567812345678" * 2)),
        ("json", {"a": [1.5]}, {"a": [1.5]}),
        ("small", None, None),
    ],
)
def test_what_is_stored(name: str, value: Any, expected: Any) -> None:
    assert stored(name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("integer", 3.7), ("integer", True), ("integer", "3.7"), ("integer", math.nan)),
        *(("price", 0.1 + 0.2), ("price", True), ("price", math.inf), ("float", "nan")),
        *(("float", 2**53 + 1), ("float", 10**400), ("float", "1e400"), ("uuid", 5)),
        *(("date", 5), ("span", 5), ("time", True), ("flag", 7), ("flag", 0.5), ("date", "")),
        *(("small", ""), ("text", None), ("integer", []), ("float", {"a": 1})),
    ],
)
def test_what_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        stored(name, value)


def test_every_price_fits() -> None:
    for cents in range(1, 10_000):
        assert stored("price", cents / 100) == Decimal(cents) / 100
