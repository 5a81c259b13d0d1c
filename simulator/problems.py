"""Read the first problem of a pydantic ValidationError."""

from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem: pydantic's type of error, the path to the value, and one line of text."""

    kind: str
    path: str
    text: str


def first_problem(error: ValidationError) -> Problem:
    """Return the first problem of a validation, with a path such as `messages.0.role`."""
    found = error.errors(include_url=False)[0]
    path = ".".join(str(step) for step in found["loc"] if not _is_branch(step))
    return Problem(found["type"], path, found["msg"].removeprefix("Value error, "))


def _is_branch(step: str | int) -> bool:
    # For a union pydantic adds the name of the type that it tried last.
    return isinstance(step, str) and (step in {"str", "int"} or "[" in step)
