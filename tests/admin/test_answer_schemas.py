"""For every field that the form offers, an answer that fits its schema can be stored in it."""

import enum
import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy

from batches.admin.rows.answer_schemas import is_free_text, schema_of
from simulator.answers import answer_for_schema
from tests.library.models import Author

SEEDS = 30
# Django refuses them in a model, or they are no field of a column of their own.
NO_FIELDS = {
    *("CommaSeparatedIntegerField", "IPAddressField", "NullBooleanField", "OrderWrt"),
    *("CompositePrimaryKey", "Field", "ForeignObject"),
}
KEY = {"primary_key": True}
NEEDED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("AutoField", "BigAutoField", "SmallAutoField"), KEY),
    "ForeignKey": {"to": Author, "on_delete": models.CASCADE},
    "OneToOneField": {"to": Author, "on_delete": models.CASCADE},
    "ManyToManyField": {"to": Author},
    "CharField": {"max_length": 12},
    "DecimalField": {"max_digits": 3, "decimal_places": 1},
    "GeneratedField": {
        "expression": models.F("id"),
        "output_field": models.IntegerField(),
        "db_persist": True,
    },
}
# Of the other kinds, no answer is asked for.
OFFERED = {
    *("BigIntegerField", "BooleanField", "CharField", "DecimalField", "EmailField", "FloatField"),
    *("IntegerField", "JSONField", "PositiveBigIntegerField", "PositiveIntegerField"),
    *("PositiveSmallIntegerField", "SlugField", "SmallIntegerField", "TextField", "URLField"),
}
CLASSES = sorted(
    name
    for name, one in vars(models).items()
    if isinstance(one, type) and issubclass(one, models.Field) and name not in NO_FIELDS
)


class Colour(enum.Enum):
    RED = "red"


class Size(models.IntegerChoices):
    SMALL = 1, gettext_lazy("small")
    LARGE = 2, gettext_lazy("large")


def field_of(kind: str, **options: Any) -> Any:
    field = getattr(models, kind)(**{**NEEDED.get(kind, {}), **options})
    field.set_attributes_from_name("asked")
    return field


def check_answers(field: Any, schema: Any) -> None:
    """Check that what fits a schema, and came as JSON, fits the field too."""
    for seed in range(SEEDS):
        answer = answer_for_schema(json.loads(json.dumps(schema, allow_nan=False)), seed)
        if answer in field.empty_values:
            # Any JSON fits a JSON field, but for nothing.
            assert isinstance(field, models.JSONField)
            continue
        assert field.clean(answer, None) is not None


@pytest.mark.parametrize("kind", CLASSES)
def test_an_answer_for_a_field_of_any_kind(kind: str) -> None:
    field = field_of(kind)
    schema = schema_of(field)
    assert (schema is not None) is (kind in OFFERED)
    if schema is not None:
        check_answers(field, schema)


CHOICES: list[tuple[str, dict[str, Any], list[Any]]] = [
    (
        "DecimalField",
        {"choices": [(Decimal("0.5"), "half"), (Decimal("1.0"), "full")]},
        ["0.5", "1.0"],
    ),
    ("CharField", {"choices": [("a", gettext_lazy("A")), ("b", "B")]}, ["a", "b"]),
    ("CharField", {"choices": {"Group": {"a": "A"}, "b": "B"}}, ["a", "b"]),
    ("CharField", {"choices": [(Colour.RED.value, "red")]}, ["red"]),
    ("CharField", {"choices": lambda: [("a", "A")]}, ["a"]),
    ("CharField", {"choices": [("", "none"), ("a", "A")]}, ["a"]),
    ("CharField", {"choices": [("", "none"), ("a", "A")], "blank": True}, ["", "a"]),
    ("CharField", {"choices": [("longer than it may be", "A"), ("a", "A")]}, ["a"]),
    ("TextField", {"choices": [(gettext_lazy("a"), "A")]}, ["a"]),
    ("IntegerField", {"choices": Size}, [1, 2]),
    ("FloatField", {"choices": [(0.1, "A"), (float("inf"), "B")]}, [0.1]),
    ("BooleanField", {"choices": [(None, "?"), (True, "yes"), (False, "no")]}, [True, False]),
    ("JSONField", {"choices": [([1], "one"), ({"a": 1}, "A")]}, [[1], {"a": 1}]),
]


@pytest.mark.parametrize(("kind", "options", "values"), CHOICES)
def test_an_answer_for_a_field_with_choices(
    kind: str, options: dict[str, Any], values: list[Any]
) -> None:
    field = field_of(kind, **options)
    schema = schema_of(field)
    assert schema == {"enum": values}
    for value in json.loads(json.dumps(values)):
        assert field.clean(value, None) in [choice for choice, _ in field.flatchoices]


def test_a_field_whose_choices_no_answer_can_name_is_not_offered() -> None:
    day = date(2026, 1, 1)
    assert schema_of(field_of("DateField", choices=[(day, "today")])) is None
    assert schema_of(field_of("FloatField", choices=[(float("nan"), "nothing")])) is None


@pytest.mark.parametrize(
    ("digits", "places", "fitting", "unfit"),
    [(3, 1, "-12.5", "123"), (2, 2, "0.25", "1.25"), (4, 0, "1234", "1.5")],
)
def test_the_pattern_of_a_decimal_field(digits: int, places: int, fitting: str, unfit: str) -> None:
    field = field_of("DecimalField", max_digits=digits, decimal_places=places)
    check_answers(field, schema_of(field))
    assert field.clean(fitting, None) == Decimal(fitting)
    assert (
        answer_for_schema({"allOf": [schema_of(field), {"enum": [fitting, unfit]}]}, 0) == fitting
    )


def test_the_bounds_of_a_number_are_asked_for() -> None:
    field = field_of("PositiveSmallIntegerField", validators=[MaxValueValidator(5)])
    schema = schema_of(field) or {}
    assert (schema["minimum"], schema["maximum"]) == (0, 5)


def test_only_a_text_without_a_form_takes_the_whole_answer() -> None:
    free = {kind for kind in OFFERED if is_free_text(field_of(kind))}
    assert free == {"CharField", "TextField"}
    assert not is_free_text(field_of("CharField", choices=[("a", "A")]))
