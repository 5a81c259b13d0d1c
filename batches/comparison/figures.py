"""The figures of a comparison: of each batch, of each field, and against a known truth."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from batches.comparison.intervals import (
    Figure,
    best_in,
    difference_in,
    mean_figure,
    share_figure,
    share_in,
)
from batches.comparison.paired_rows import paired_rows
from batches.comparison.row_answers import Missing
from batches.comparison.tallies import BatchTally, ComparisonTally, PairTally, TruthTally, tally_of
from batches.engine.errors import PromptRejected
from batches.engine.records import Usage
from batches.engine.structured.asked import answer_schema
from batches.engine.timing import TimingStats, timing_stats
from batches.limits.prices import price_list_of
from batches.models import Batch, Prompt
from batches.reuse.earlier_batch import PLACES

SHOWN_VALUES = 12
OTHER = "(other)"


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """A batch over the compared rows. Differences are to the first batch, which has none.

    `cost` is what the answers take by the current price of the model, also ones that were used
    again; None if no price is known. `fits` is None without a schema. `absent` and `open` are rows
    of the first batch that this one does not have, or has no result of, and `too_long` are answers
    that are not compared; `extra` rows are only in this batch, None if not all rows were read.
    """

    batch_id: str
    name: str
    model: str
    provider: str
    total: int
    succeeded: Figure | None
    succeeded_difference: Figure | None
    fits: Figure | None
    fits_difference: Figure | None
    agreement: Figure | None
    input_tokens: int
    output_tokens: int
    cost: Decimal | None
    cost_per_1000: Decimal | None
    p50_s: float | None
    p95_s: float | None
    absent: int
    open: int
    too_long: int
    extra: int | None

    @property
    def left_out(self) -> str:
        """Return in words how many rows are not compared; empty if all are."""
        numbers = {
            "not in it": self.absent,
            "without a result": self.open,
            "too long to compare": self.too_long,
            "only in it": self.extra or 0,
        }
        return ", ".join(f"{n:,} {what}" for what, n in numbers.items() if n)


@dataclass(frozen=True, slots=True)
class ValueTable:
    """The rows with a value of the first batch (a line) and a value of another one (a column)."""

    values: list[str]
    counts: list[list[int]]

    @property
    def lines(self) -> list[tuple[str, list[int]]]:
        return list(zip(self.values, self.counts, strict=True))


@dataclass(frozen=True, slots=True)
class PairFigures:
    """A field in the first batch and another; of `place` in the comparison, counted from 0.

    Numbers are compared as the other minus the first.
    """

    place: int
    agreement: Figure | None
    table: ValueTable | None
    mean_difference: Figure | None
    median_distance: float | None


@dataclass(frozen=True, slots=True)
class TruthFigures:
    """The accuracy of each batch in a field, by a column with the truth.

    `best` is the place of the best batch; None if no difference is shown.
    """

    column: str
    rows: int
    unknown: int
    accuracy: list[Figure | None]
    difference: list[Figure | None]
    best: int | None


@dataclass(frozen=True, slots=True)
class FieldFigures:
    """A field of the answers."""

    name: str
    pairs: list[PairFigures]
    truth: TruthFigures | None


@dataclass(frozen=True, slots=True)
class ComparisonFigures:
    """The figures of a comparison over `rows` rows that each batch has.

    If only the rows up to a bound were read, `read` is their number. With `by_place`, rows have no
    custom_id of their own and are matched by their place in the input.
    """

    rows: int
    read: int | None
    by_place: bool
    batches: list[BatchFigures]
    fields: list[FieldFigures]
    fields_left_out: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def comparison_figures(
    batches: Sequence[Batch],
    *,
    truths: dict[str, str] | None = None,
    most_rows: int | None = None,
    most_s: float | None = None,
) -> ComparisonFigures:
    """Read the rows of batches in one pass and return the figures.

    With `most_rows` or `most_s`, stop after this many rows of the first batch or seconds.
    """
    tally = tally_of(len(batches), truths or {})
    deadline = None if most_s is None else time.monotonic() + most_s
    read = 0
    rows = paired_rows(batches, with_cells=bool(truths))
    for row in islice(rows, most_rows):
        tally.add(row)
        read += 1
        if deadline is not None and time.monotonic() > deadline:
            break
    is_whole = read >= batches[0].total
    return ComparisonFigures(
        rows=tally.rows,
        read=None if is_whole else read,
        by_place=_is_by_place(batches),
        batches=[
            _batch_figures(batch, tally, place, is_whole=is_whole, read=read)
            for place, batch in enumerate(batches)
        ],
        fields=_all_fields(tally),
        fields_left_out=tally.is_cut,
    )


def _is_by_place(batches: Sequence[Batch]) -> bool:
    first = Prompt.objects.filter(batch__in=list(batches), index=0)
    return first.filter(custom_id__in=PLACES).exists()


def _batch_figures(
    batch: Batch, tally: ComparisonTally, place: int, *, is_whole: bool, read: int
) -> BatchFigures:
    own = tally.batches[place]
    timing = _timing(own.latencies)
    cost = _cost(batch, own)
    has_schema = _has_schema(batch) or any(fits[place] for fits in tally.fits)
    is_first, absent = place == 0, own.missing[Missing.ABSENT]
    return BatchFigures(
        batch_id=batch.public_id,
        name=batch.name,
        model=batch.model,
        provider=batch.provider.name,
        total=batch.total,
        succeeded=share_in(tally.succeeded, place),
        succeeded_difference=None if is_first else difference_in(tally.succeeded, 0, place),
        fits=share_in(tally.fits, place) if has_schema else None,
        fits_difference=(
            difference_in(tally.fits, 0, place) if has_schema and not is_first else None
        ),
        agreement=None if is_first else share_figure(own.agreed, tally.rows),
        input_tokens=own.input_tokens,
        output_tokens=own.output_tokens,
        cost=cost,
        cost_per_1000=1000 * cost / tally.rows if cost is not None and tally.rows else None,
        p50_s=timing.p50_s,
        p95_s=timing.p95_s,
        absent=absent,
        open=own.missing[Missing.OPEN],
        too_long=own.missing[Missing.LONG],
        extra=batch.total - (read - absent) if is_whole else None,
    )


def _timing(latencies: Sequence[float]) -> TimingStats:
    return timing_stats(latencies, busy_s=0.0, total_s=0.0, first_result_s=None)


def _cost(batch: Batch, own: BatchTally) -> Decimal | None:
    if not batch.model:
        return None
    escalated = own.escalated.values()
    plain = Usage(
        own.input_tokens - sum(usage.input_tokens for usage in escalated),
        own.output_tokens - sum(usage.output_tokens for usage in escalated),
    )
    prices = price_list_of(batch.provider)
    spent = [(batch.model, plain), *own.escalated.items()]
    costs = [prices.cost(model, usage) for model, usage in spent if usage != Usage()]
    return None if None in costs else sum(filter(None, costs), Decimal(0))


def _has_schema(batch: Batch) -> bool:
    try:
        return answer_schema(batch.defaults, batch.endpoint) is not None
    except PromptRejected:
        return False


def _all_fields(tally: ComparisonTally) -> list[FieldFigures]:
    names = dict.fromkeys([*tally.truths, *tally.pairs])
    return [
        FieldFigures(
            name,
            [_pair_figures(place, pair) for place, pair in enumerate(tally.pairs.get(name, ()), 1)],
            _truth_figures(tally.truths[name]) if name in tally.truths else None,
        )
        for name in names
    ]


def _pair_figures(place: int, pair: PairTally) -> PairFigures:
    numbers = pair.numbers
    return PairFigures(
        place=place,
        agreement=share_figure(pair.same, pair.rows),
        table=_value_table(pair.values) if pair.values else None,
        mean_difference=mean_figure(numbers.mean, numbers.squares, numbers.rows),
        median_distance=numbers.median_distance(),
    )


def _value_table(values: Counter[tuple[str, str]]) -> ValueTable:
    """Return the table of the most frequent values; the rest is one value."""
    frequent: Counter[str] = Counter()
    for (first, other), n in values.items():
        frequent[first] += n
        frequent[other] += n
    names = [name for name, _ in frequent.most_common(SHOWN_VALUES)]
    places = {name: place for place, name in enumerate(names)}
    has_rest = len(frequent) > len(names)
    size = len(names) + has_rest
    counts = [[0] * size for _ in range(size)]
    for (first, other), n in values.items():
        counts[places.get(first, size - 1)][places.get(other, size - 1)] += n
    return ValueTable([*names, OTHER] if has_rest else names, counts)


def _truth_figures(tally: TruthTally) -> TruthFigures:
    patterns = tally.patterns
    number = len(next(iter(patterns), ()))
    return TruthFigures(
        column=tally.column,
        rows=sum(patterns.values()),
        unknown=tally.unknown,
        accuracy=[share_in(patterns, place) for place in range(number)],
        difference=[
            difference_in(patterns, 0, place) if place else None for place in range(number)
        ],
        best=best_in(patterns),
    )
