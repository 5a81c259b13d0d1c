"""A row of a comparison, and what each batch has for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from batches.comparison.answer_values import Value, is_same


class Missing(StrEnum):
    """The reason why there is nothing of a batch to compare for a row."""

    ABSENT = "not in this batch"
    OPEN = "no result yet"
    LONG = "too long to compare"


@dataclass(frozen=True, slots=True)
class RowAnswer:
    """The answer or the failure that a batch has for a row.

    A failed row has a kind of failure and no fields; `fits` is True if the answer fits the schema
    that was asked for. `escalation` is the text about the models that were asked, if there were
    several.
    """

    index: int
    kind: str
    fits: bool
    fields: Mapping[str, Value]
    input_tokens: int
    output_tokens: int
    latency_s: float | None
    escalation: str | None = None

    @property
    def succeeded(self) -> bool:
        return not self.kind


@dataclass(frozen=True, slots=True)
class PairedRow:
    """A row of the first batch with what each batch has for it, and its cells by column."""

    index: int
    custom_id: str
    answers: tuple[RowAnswer | Missing, ...]
    cells: Mapping[str, Any]

    @property
    def compared(self) -> list[RowAnswer]:
        """Return the answers, if each batch has one; else nothing."""
        found = [answer for answer in self.answers if isinstance(answer, RowAnswer)]
        return found if len(found) == len(self.answers) else []

    def agrees(self) -> bool:
        """Return True if all batches have the same answer, or all failed."""
        found = self.compared
        return bool(found) and all(is_agreed(found[0], other) for other in found[1:])

    def disagrees(self) -> bool:
        """Return True if each batch has the row, and not all have the same answer."""
        return bool(self.compared) and not self.agrees()


def is_agreed(first: RowAnswer, other: RowAnswer) -> bool:
    """Return True if two answers have the same fields and values, or both failed."""
    if first.succeeded != other.succeeded or first.fields.keys() != other.fields.keys():
        return False
    return all(is_same(value, other.fields[name]) for name, value in first.fields.items())
