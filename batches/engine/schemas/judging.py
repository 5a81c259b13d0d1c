"""Validate a value with a compiled schema, at a bounded cost."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from batches.engine.schemas.compiled import Compiled
from batches.engine.schemas.expansion import Expansion

if TYPE_CHECKING:
    import jsonschema_rs

MAX_REPORTED_ERRORS = 20
# Steps of about ten nanoseconds each. Without a bound, a schema of 10,000 parts that all apply to
# every part of a long answer would take hours.
MAX_WORK = 100_000_000
# The library finds all errors of a value before the first can be read, and the errors of all
# branches of an anyOf even for a single error. Each error takes a microsecond and a copy of the
# value that it is about.
MAX_LISTED_WORK = 100_000
MAX_FIRST_WORK = 500_000
CHARS_PER_PART = 64
# Levels to which a recursive schema is unrolled to estimate the work of finding errors.
MAX_UNROLLED_LEVELS = 32


def judge_of(compiled: Compiled, name: str, expansion: Expansion) -> Callable[[Any], Any]:
    """Return a function that returns a valid value and raises ValidationError for others."""
    per_char = expansion.matched * compiled.pattern_steps

    def judge(value: Any) -> Any:
        extent = extent_of(value)
        work = expansion.weight * extent.parts + per_char * extent.chars
        if work > MAX_WORK:
            reason = "the value is too large to be checked against this schema"
            message = f"{reason}: {work} steps; the most is {MAX_WORK}"
            raise _invalid(name, [_fault(message, value)])
        if compiled.validator.is_valid(value):
            return value
        raise _invalid(name, list(_faults(compiled.validator, value, expansion, extent)))

    return judge


class Extent:
    """The size of a value: its parts, its levels and its characters."""

    __slots__ = ("chars", "levels", "parts")

    def __init__(self) -> None:
        self.parts = self.chars = self.levels = 0


def extent_of(value: Any) -> Extent:
    """Return the number of parts and levels of a value, and of characters in its strings."""
    extent, level = Extent(), [value]
    while level:
        extent.parts += len(level)
        extent.levels += 1
        below: list[Any] = []
        for part in level:
            if isinstance(part, str):
                extent.chars += len(part)
            elif isinstance(part, dict):
                extent.chars += sum(map(len, part))
                below += part.values()
            elif isinstance(part, list):
                below += part
        level = below
    return extent


def _invalid(name: str, faults: list[InitErrorDetails]) -> ValidationError:
    return ValidationError.from_exception_data(name, faults)


def _fault(message: str, value: Any, place: Iterable[str | int] = ()) -> InitErrorDetails:
    error = PydanticCustomError("json_schema", "{reason}", {"reason": message})
    return InitErrorDetails(type=error, loc=tuple(place), input=value)


def _faults(
    validator: "jsonschema_rs.Draft202012Validator",
    value: Any,
    expansion: Expansion,
    extent: Extent,
) -> Iterator[InitErrorDetails]:
    """Yield the first errors of a value, if they can be found in reasonable time."""
    size = extent.parts + extent.chars // CHARS_PER_PART
    if expansion.unrolled is None:
        work, is_dear = size * expansion.weight, expansion.has_branches
    else:
        work, is_dear = size * _unrolled(expansion.unrolled, extent.levels), True
    if is_dear and work > MAX_FIRST_WORK:
        yield _fault("the value does not fit the schema; finding the place takes too long", value)
        return
    errors = _errors(validator, value, listed=work <= MAX_LISTED_WORK)
    for error in islice(errors, MAX_REPORTED_ERRORS):
        yield _fault(error.message, error.instance, error.instance_path)


def _unrolled(weight_of: Callable[[int], int], levels: int) -> int:
    if levels > MAX_UNROLLED_LEVELS:
        return MAX_FIRST_WORK + 1
    try:
        return weight_of(levels)
    except RecursionError:
        return MAX_FIRST_WORK + 1


def _errors(
    validator: "jsonschema_rs.Draft202012Validator", value: Any, *, listed: bool
) -> "Iterable[jsonschema_rs.ValidationError]":
    from jsonschema_rs import ValidationError as Unfit  # noqa: PLC0415 - loaded by the schema

    if listed:
        return validator.iter_errors(value)
    try:
        validator.validate(value)
    except Unfit as error:
        return [error]
    return []
