"""Targets of the answer about a row: fields of the row, or a function that saves it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field, Model
from django.utils.module_loading import import_string

from batches.engine.text.wording import did_you_mean, named, quoted
from batches.errors import NotPossible
from batches.writeback.values import fitting

# Stands for the whole answer.
WHOLE = "*"

Save = Callable[[Any, "RowOutcome"], object]
Into = str | Mapping[str, str] | Save


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """The answer about a row, for a function that saves it.

    `parsed` is the value that fits the schema; None without a schema. `model` gave the answer.
    """

    text: str
    parsed: Any
    model: str
    batch: str
    custom_id: str
    finish_reason: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class FieldTarget:
    """Writes fields of an answer into fields of a row; no other column is touched.

    So `auto_now` fields keep their values too. The `save` method of the model is called and its
    signals are sent, with `update_fields`.
    """

    into: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the names of the fields, each with its part of the answer unless it is all."""
        parts = sorted(self.into.items())
        return ", ".join(name if source == WHOLE else f"{name}={source}" for name, source in parts)

    def stored(self) -> dict[str, Any]:
        """Return the columns of Enrichment that `stored_target` reads."""
        return {"into": dict(self.into)}

    def columns(self, model: type[Model]) -> frozenset[str]:
        """Return the attributes of a row that are written."""
        fields: list[Any] = [model._meta.get_field(name) for name in self.into]
        return frozenset(field.attname for field in fields)

    def is_empty(self, row: Model) -> bool:
        """Return True if what is written is null or an empty text, in each field."""
        return all(getattr(row, name) in (None, "") for name in self.columns(type(row)))

    def write(self, row: Model, outcome: RowOutcome) -> None:
        """Write an answer. Raise ValidationError for values that do not fit the fields."""
        errors: dict[str, list[str]] = {}
        for name, source in self.into.items():
            target: Any = row._meta.get_field(name)
            try:
                setattr(row, target.attname, _value_for(target, source, outcome))
            except ValidationError as error:
                errors[name] = error.messages
        if errors:
            raise ValidationError(errors)
        others = {one.name for one in row._meta.get_fields()} - self.into.keys()
        row.full_clean(exclude=others)
        row.save(update_fields=list(self.into))


@dataclass(frozen=True, slots=True)
class SaveTarget:
    """Passes a row and its answer to a function. `name` is the path to import it by."""

    name: str
    save: Save

    def stored(self) -> dict[str, Any]:
        """Return the columns of Enrichment that `stored_target` reads."""
        return {"save_path": self.name}

    def columns(self, model: type[Model]) -> frozenset[str]:
        """Return no attribute: the function may write anything."""
        del model
        return frozenset()

    def is_empty(self, row: Model) -> bool:
        """Return False: what the function writes is not known."""
        del row
        return False

    def write(self, row: Model, outcome: RowOutcome) -> None:
        self.save(row, outcome)


Target = FieldTarget | SaveTarget


def target_for(model: type[Model], into: Into, answer_fields: Mapping[str, Any] | None) -> Target:
    """Return the target that a caller names. Raise NotPossible.

    `answer_fields` are the properties of the schema; None if there are none.
    """
    if callable(into) and not isinstance(into, type):
        return _save_target(into)
    given: Any = {into: WHOLE} if isinstance(into, str) else into
    texts = isinstance(given, Mapping) and all(
        isinstance(part, str) for part in chain(*given.items())
    )
    if not texts:
        raise NotPossible(
            f"into is {repr(into)[:100]}: give the name of a field, a mapping of such names to "
            f'properties of the answer or "{WHOLE}", or a function that saves the answer'
        )
    target = FieldTarget(dict(given))
    if not target.into:
        raise NotPossible("into is empty: name at least one field of the row")
    for name, source in target.into.items():
        _check_field(model, name)
        _check_source(name, source, answer_fields)
    return target


def stored_target(into: Mapping[str, str] | None, save_path: str) -> Target:
    """Return the target that is stored with a batch. Raise ImportError for a missing function."""
    if into is not None:
        return FieldTarget(into)
    return SaveTarget(save_path, import_string(save_path))


def _save_target(save: Save) -> SaveTarget:
    module = getattr(save, "__module__", None)
    path = f"{module}.{getattr(save, '__qualname__', '')}"
    try:
        found = None if module == "__main__" else import_string(path)
    except ImportError:
        found = None
    if found is not save:
        raise NotPossible(
            f"into cannot be {path}: workers are other processes and import it by its name. Define "
            "it at the top of a module, with def save(row, outcome)."
        )
    return SaveTarget(path, save)


def _check_field(model: type[Model], name: str) -> None:
    try:
        target: Any = model._meta.get_field(name)
    except FieldDoesNotExist as error:
        known = [one.name for one in model._meta.concrete_fields]
        raise NotPossible(
            f"into names {quoted(name)}, but {model._meta.label} has no such field."
            f"{did_you_mean(name, known)} It has {named(known)}."
        ) from error
    fault = ""
    if not isinstance(target, Field) or not target.concrete or target.many_to_many:
        fault = "is no column of its table; give a function that saves it instead"
    elif target.primary_key:
        fault = "is the key of the row"
    elif target.generated:
        fault = "is computed by the database"
    if fault:
        raise NotPossible(f"into names {quoted(name)} of {model._meta.label}, which {fault}")


def _check_source(name: str, source: str, answer_fields: Mapping[str, Any] | None) -> None:
    if source == WHOLE:
        return
    if answer_fields is None:
        raise NotPossible(
            f"into takes {quoted(source)} of the answer for {quoted(name)}, but the answer has no "
            f'fields: give a schema with properties, or "{WHOLE}" for the whole answer'
        )
    if source not in answer_fields:
        known = list(answer_fields)
        raise NotPossible(
            f"into takes {quoted(source)} of the answer for {quoted(name)}, but the schema has no "
            f"such property.{did_you_mean(source, known)} It has {named(known)}."
        )


def _value_for(target: "Field[Any, Any]", source: str, outcome: RowOutcome) -> Any:
    if source != WHOLE:
        value = outcome.parsed.get(source) if isinstance(outcome.parsed, Mapping) else None
        return fitting(target, value)
    if outcome.parsed is None and not outcome.text.strip():
        raise ValidationError("The answer is empty.")
    return fitting(target, outcome.text if outcome.parsed is None else outcome.parsed)
