"""Count the answers of a batch about rows: how many were written, and how many not, and why."""

from dataclasses import dataclass

from django.db.models import Count

from batches.models import Answer, AnswerState, Batch
from batches.models.answer import rows_of

ABOUT = {
    AnswerState.WRITTEN: "the row has the answer",
    AnswerState.CHANGED: "the row has changed since it was asked about, and was left as it is",
    AnswerState.GONE: "the row was deleted",
    AnswerState.INVALID: "the answer does not fit the fields of the row",
    AnswerState.FAILED: "saving the row raised an error, and was undone",
}
NOT_WRITTEN = [state for state in AnswerState if state != AnswerState.WRITTEN]


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """The answers in one state."""

    state: AnswerState
    about: str
    count: int


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """The model whose rows a batch is about, and its answers by state, without empty states."""

    label: str
    counts: list[AnswerCount]


def row_answers_of(batch: Batch) -> RowAnswers | None:
    """Count the answers of a batch by state; None for a batch that is not about rows.

    Each result that succeeded has an answer, in the same transaction. Only the answers that were
    not written are counted, by the index of batch and state: a live page is read all the time.
    """
    label = rows_of(batch)
    if not label:
        return None
    left = Answer.objects.filter(batch_public_id=batch.public_id, state__in=NOT_WRITTEN)
    found = dict(left.order_by("state").values_list("state").annotate(n=Count("*")))
    written = max(0, batch.succeeded - sum(found.values()))
    counts = {AnswerState.WRITTEN: written, **found}
    return RowAnswers(
        label,
        [
            AnswerCount(state, about, counts[state])
            for state, about in ABOUT.items()
            if counts.get(state)
        ],
    )
