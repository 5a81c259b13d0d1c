"""Find the rows on which batches disagree, and show them side by side."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from batches.comparison.answer_values import MOST_LABEL_CHARS, is_same, text_of, value_of
from batches.comparison.paired_rows import paired_rows
from batches.comparison.row_answers import Missing, PairedRow, RowAnswer
from batches.comparison.word_diff import DiffPiece, plain, word_diff
from batches.models import Batch

# Further rows are found by the next request.
MOST_LOOKED_AT = 10_000
MOST_SEARCH_S = 2.0
# Later texts are shown without their differences: some take long to find.
MOST_DIFF_S = 1.0
MOST_SHOWN_FIELDS = 50


@dataclass(frozen=True, slots=True)
class FieldSideBySide:
    """A field of a row: the truth, if it is known, and the pieces of the value of each batch."""

    name: str
    truth: str | None
    values: list[list[DiffPiece]]
    is_same: bool


@dataclass(frozen=True, slots=True)
class RowSideBySide:
    """A row with its fields; `indexes` are its places in the batches, None where it is missing."""

    custom_id: str
    indexes: list[int | None]
    fields: list[FieldSideBySide]
    agrees: bool


@dataclass(frozen=True, slots=True)
class RowsFound:
    """Rows side by side; `through` is the index of the last row looked at, None if it is the last
    one of all."""

    rows: list[RowSideBySide]
    looked_at: int
    through: int | None


def rows_side_by_side(
    batches: Sequence[Batch],
    *,
    after: int,
    limit: int,
    truths: Mapping[str, str] | None = None,
    with_all: bool = False,
) -> RowsFound:
    """Return up to `limit` rows beyond an index on which the batches disagree.

    With `with_all`, return other rows too. The search is bounded in rows and time; the next one
    goes on where it ended.
    """
    deadline = time.monotonic() + MOST_SEARCH_S
    diff_until = deadline + MOST_DIFF_S
    found: list[RowSideBySide] = []
    looked_at = 0
    for looked_at, row in enumerate(paired_rows(batches, after=after, with_cells=bool(truths)), 1):
        if with_all or row.disagrees():
            found.append(side_by_side(row, truths or {}, diff_until=diff_until))
        is_late = looked_at >= MOST_LOOKED_AT or time.monotonic() >= deadline
        if len(found) == limit or is_late:
            return RowsFound(found, looked_at, row.index)
    return RowsFound(found, looked_at, None)


def side_by_side(
    row: PairedRow, truths: Mapping[str, str], *, diff_until: float = inf
) -> RowSideBySide:
    """Return a row to be shown; the fields that differ come first.

    From `diff_until` on, by the monotonic clock, texts are shown without their differences.
    """
    names = dict.fromkeys(
        name for answer in row.answers if isinstance(answer, RowAnswer) for name in answer.fields
    )
    # Without any answer, one field says why.
    ordered = sorted(names or ("",), key=lambda name: _is_same_in_all(row, name))
    answers = [answer if isinstance(answer, RowAnswer) else None for answer in row.answers]
    return RowSideBySide(
        custom_id=row.custom_id,
        indexes=[answer.index if answer else None for answer in answers],
        fields=[
            _field(row, name, truths.get(name), diff_until) for name in ordered[:MOST_SHOWN_FIELDS]
        ],
        agrees=row.agrees(),
    )


def _is_same_in_all(row: PairedRow, name: str) -> bool:
    found = [
        answer.fields[name]
        for answer in row.answers
        if isinstance(answer, RowAnswer) and name in answer.fields
    ]
    return len(found) == len(row.answers) and all(is_same(found[0], one) for one in found)


def _field(row: PairedRow, name: str, column: str | None, diff_until: float) -> FieldSideBySide:
    first, *others = (_text(answer, name) for answer in row.answers)
    truth = row.cells.get(column) if column else None
    return FieldSideBySide(
        name=name,
        truth=None if truth is None else text_of(value_of(truth))[:MOST_LABEL_CHARS],
        values=[
            plain(first),
            *(
                word_diff(first, text) if time.monotonic() < diff_until else plain(text)
                for text in others
            ),
        ],
        is_same=_is_same_in_all(row, name),
    )


def _text(answer: RowAnswer | Missing, name: str) -> str:
    """Return what is shown of a field, or why there is none."""
    if not isinstance(answer, RowAnswer):
        return f"({answer})"
    if not answer.succeeded:
        return f"(failed: {answer.kind})"
    return text_of(answer.fields[name]) if name in answer.fields else "(no such field)"
