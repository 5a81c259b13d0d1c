"""The figures of a comparison of answers, in the words of its page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from batches.admin.batches.graphs import short_name
from batches.comparison.choosing import whole_input
from batches.comparison.figures import (
    BatchFigures,
    ComparisonFigures,
    FieldFigures,
    PairFigures,
    ValueTable,
)
from batches.comparison.intervals import Figure
from batches.formats import NOTHING
from batches.models import Batch


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure in words, with its interval if it has one."""

    value: str
    interval: str = ""


@dataclass(frozen=True, slots=True)
class AnsweringBatch:
    """A batch of the comparison; `whole` is the batch whose rows it may be run with.

    On pages without figures both are None.
    """

    number: int
    batch: Batch
    name: str
    figures: BatchFigures | None = None
    whole: Batch | None = None

    @property
    def succeeded(self) -> list[ShownFigure]:
        return self._share("succeeded")

    @property
    def fits(self) -> list[ShownFigure]:
        return self._share("fits")

    @property
    def agreement(self) -> ShownFigure:
        return shown_share(self.figures.agreement if self.figures else None)

    def _share(self, name: Literal["succeeded", "fits"]) -> list[ShownFigure]:
        """Return a share, and its difference to the first batch."""
        shown = [shown_share(getattr(self.figures, name, None))]
        difference = getattr(self.figures, f"{name}_difference", None)
        return [*shown, shown_share(difference, sign="+")] if difference else shown


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A field in the first batch and another. Each of `lines` is a value in the first batch, with
    the values that the other one has instead and their number."""

    field: str
    other: AnsweringBatch
    agreement: ShownFigure
    mean_difference: ShownFigure
    median_distance: str
    values: list[str]
    lines: list[tuple[str, list[tuple[str, int]]]]


@dataclass(frozen=True, slots=True)
class ShownTruth:
    """The accuracy of each batch in a field; each line has the difference to the first batch."""

    field: str
    column: str
    rows: int
    unknown: int
    best: AnsweringBatch | None
    lines: list[tuple[AnsweringBatch, ShownFigure, ShownFigure]]


def shown_share(figure: Figure | None, *, sign: str = "") -> ShownFigure:
    """Return a share in words."""
    if figure is None:
        return ShownFigure(NOTHING)
    low, high = 100 * figure.low, 100 * figure.high
    return ShownFigure(
        f"{100 * figure.value:{sign}.1f} %", f"{low:{sign}.1f} to {high:{sign}.1f} %"
    )


def answering_batches(
    chosen: Sequence[Batch], figures: ComparisonFigures | None
) -> list[AnsweringBatch]:
    """Return the batches of a comparison, with their figures if there are some."""
    if figures is None:
        return [
            AnsweringBatch(number, batch, short_name(batch))
            for number, batch in enumerate(chosen, 1)
        ]
    return [
        AnsweringBatch(number, batch, short_name(batch), own, whole_input(chosen, batch))
        for number, (batch, own) in enumerate(zip(chosen, figures.batches, strict=True), 1)
    ]


def shown_pairs(figures: ComparisonFigures, shown: Sequence[AnsweringBatch]) -> list[ShownPair]:
    """Return each field in each batch but the first."""
    return [
        _pair(field, pair, shown[pair.place]) for field in figures.fields for pair in field.pairs
    ]


def _pair(field: FieldFigures, pair: PairFigures, other: AnsweringBatch) -> ShownPair:
    distance, table = pair.median_distance, pair.table or ValueTable([], [])
    return ShownPair(
        field=field.name,
        other=other,
        agreement=shown_share(pair.agreement),
        mean_difference=_mean(pair.mean_difference),
        median_distance=NOTHING if distance is None else f"{distance:.4g}",
        values=table.values,
        lines=[
            (value, list(zip(table.values, counts, strict=True))) for value, counts in table.lines
        ],
    )


def _mean(figure: Figure | None) -> ShownFigure:
    if figure is None:
        return ShownFigure(NOTHING)
    return ShownFigure(f"{figure.value:+.4g}", f"{figure.low:+.4g} to {figure.high:+.4g}")


def shown_truths(figures: ComparisonFigures, shown: Sequence[AnsweringBatch]) -> list[ShownTruth]:
    """Return the accuracy in each field whose truth is known."""
    return [
        ShownTruth(
            field=field.name,
            column=truth.column,
            rows=truth.rows,
            unknown=truth.unknown,
            best=None if truth.best is None else shown[truth.best],
            lines=[
                (batch, shown_share(accuracy), shown_share(difference, sign="+"))
                # Without a row that has a truth, there is no accuracy.
                for batch, accuracy, difference in zip(
                    shown, truth.accuracy, truth.difference, strict=False
                )
            ],
        )
        for field in figures.fields
        if (truth := field.truth) is not None
    ]
