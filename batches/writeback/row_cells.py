"""Read a row of a table as plain values: its fields, and the related rows that a template names.

A template sees nothing else: no model, no manager, no method, no property.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from functools import cache
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BinaryField, Field, ForeignObjectRel, Model
from django.db.models.constants import LOOKUP_SEP

from batches.writeback.dotted_names import Path

Cells = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation of a model that a template reads, and the relations that it reads beyond."""

    model: type[Model]
    is_many: bool
    inner: "dict[str, Relation]" = field(default_factory=dict)


def relations_in(model: type[Model], paths: Iterable[Path]) -> dict[str, Relation]:
    """Return the relations on these paths, by name; a path may end in fields and values."""
    found: dict[str, Relation] = {}
    for path in paths:
        level, of = found, model
        for name in path:
            relation = level.get(name) or _relation(of, name)
            if relation is None:
                break
            level[name] = relation
            level, of = relation.inner, relation.model
    return found


def lookups_of(relations: Mapping[str, Relation]) -> list[str]:
    """Return the names by which Django prefetches these relations, each after the one before it."""
    lookups: list[str] = []
    for name, relation in relations.items():
        lookups.append(name)
        lookups += (f"{name}{LOOKUP_SEP}{inner}" for inner in lookups_of(relation.inner))
    return lookups


def paths_of(lookups: Iterable[str]) -> list[Path]:
    """Return the paths of lookups."""
    return [tuple(lookup.split(LOOKUP_SEP)) for lookup in lookups]


def cells_of(row: Model, relations: Mapping[str, Relation]) -> Cells:
    """Return the values of a row, with the related rows inside; these must be fetched."""
    loaded = vars(row)
    cells: Cells = {"pk": plain(row.pk)}
    for name in _names_of(type(row)):
        # A deferred field is not loaded for the template.
        if name in loaded:
            cells[name] = plain(loaded[name])
    for name, relation in relations.items():
        cells[name] = _related(row, name, relation)
    return cells


def plain(value: Any) -> Any:
    """Return a value of a field as JSON can hold it; texts for dates, decimals and the like."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value)


def _related(row: Model, name: str, relation: Relation) -> Any:
    try:
        value = getattr(row, name)
    except ObjectDoesNotExist:
        return None
    if not relation.is_many:
        return None if value is None else cells_of(value, relation.inner)
    rows = list(value.all())
    if not relation.model._meta.ordering:
        # The same rows must make the same prompt.
        rows.sort(key=lambda other: other.pk)
    return [cells_of(other, relation.inner) for other in rows]


@cache
def _names_of(model: type[Model]) -> tuple[str, ...]:
    """Return the columns of a model that a template may read."""
    return tuple(one.attname for one in model._meta.concrete_fields if not _is_withheld(model, one))


def _is_withheld(model: type[Model], one: "Field[Any, Any]") -> bool:
    is_password = issubclass(model, AbstractBaseUser) and one.name == "password"
    return is_password or isinstance(one, BinaryField)


def _relation(model: type[Model], name: str) -> Relation | None:
    """Return the relation of a model with the name that its rows have for it; None if none has."""
    for one in model._meta.get_fields():
        related: Any = one.related_model
        known: Any = one.get_accessor_name() if isinstance(one, ForeignObjectRel) else one.name
        if known == name and isinstance(related, type) and issubclass(related, Model):
            return Relation(related, bool(one.one_to_many or one.many_to_many))
    return None
