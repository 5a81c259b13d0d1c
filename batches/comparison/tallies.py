"""Count what batches have for the same rows. Of a row, only its latencies are kept. Pure."""

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import median

from batches.comparison.answer_values import (
    Value,
    difference_of,
    is_known,
    is_right,
    is_same,
    label_of,
)
from batches.comparison.row_answers import Missing, PairedRow, RowAnswer, is_agreed
from batches.engine.records import Usage
from batches.limits.asked_models import asked_in

# Fields beyond these are left out.
MOST_FIELDS = 50
# A field with more different values, or pairs of them, has no table of its values.
MOST_VALUES = 100
MOST_PAIRS = 1000
# The median is of a sample of this size.
SAMPLE = 10_000


@dataclass(slots=True)
class NumberTally:
    """The differences of the numbers in a field, of another batch to the first."""

    rows: int = 0
    mean: float = 0.0
    # The sum of the squared distances to the mean.
    squares: float = 0.0
    _sample: "array[float]" = field(default_factory=lambda: array("d"))
    _random: Random = field(default_factory=lambda: Random(0))

    def add(self, difference: float) -> None:
        self.rows += 1
        before = difference - self.mean
        self.mean += before / self.rows
        self.squares += before * (difference - self.mean)
        if len(self._sample) < SAMPLE:
            self._sample.append(abs(difference))
        elif (place := self._random.randrange(self.rows)) < SAMPLE:
            self._sample[place] = abs(difference)

    def median_distance(self) -> float | None:
        """Return the median of the differences without their signs."""
        return median(self._sample) if self._sample else None


@dataclass(slots=True)
class PairTally:
    """A field in the first batch and another one; `values` counts their pairs of values, None if
    there are many different values or long ones."""

    rows: int = 0
    same: int = 0
    values: Counter[tuple[str, str]] | None = field(default_factory=Counter)
    numbers: NumberTally = field(default_factory=NumberTally)
    _labels: set[str] = field(default_factory=set)

    def add(self, first: Value, other: Value) -> None:
        self.rows += 1
        self.same += is_same(first, other)
        difference = difference_of(first, other)
        if difference is not None:
            self.numbers.add(difference)
        if self.values is not None:
            self._count(label_of(first), label_of(other))

    def _count(self, first: str | None, other: str | None) -> None:
        if self.values is None or first is None or other is None:
            self.values = None
            return
        self._labels |= {first, other}
        self.values[first, other] += 1
        if len(self._labels) > MOST_VALUES or len(self.values) > MOST_PAIRS:
            self.values = None


@dataclass(slots=True)
class TruthTally:
    """The rows in which each batch was right about a field; `unknown` rows have no truth."""

    column: str
    patterns: Counter[tuple[bool, ...]] = field(default_factory=Counter)
    unknown: int = 0

    def add(self, name: str, row: PairedRow, answers: Sequence[RowAnswer]) -> None:
        """Count a row; an answer that failed or lacks the field is wrong."""
        truth = row.cells.get(self.column)
        if not is_known(truth):
            self.unknown += 1
            return
        right = [
            name in answer.fields and is_right(answer.fields[name], truth) for answer in answers
        ]
        self.patterns[tuple(right)] += 1


@dataclass(slots=True)
class BatchTally:
    """The compared rows of a batch, and the rows of the first batch that it lacks, by reason."""

    missing: Counter[Missing] = field(default_factory=Counter)
    input_tokens: int = 0
    output_tokens: int = 0
    # The tokens of the rows for which several models were asked, by model.
    escalated: dict[str, Usage] = field(default_factory=dict)
    # The rows with the same answer as the first batch, or a failure in both.
    agreed: int = 0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, answer: RowAnswer) -> None:
        self.input_tokens += answer.input_tokens
        self.output_tokens += answer.output_tokens
        for asked in asked_in(answer.escalation):
            self.escalated[asked.model] = self.escalated.get(asked.model, Usage()) + asked.usage
        if answer.latency_s is not None and math.isfinite(answer.latency_s):
            self.latencies.append(answer.latency_s)


@dataclass(slots=True)
class ComparisonTally:
    """All that is counted of some batches. `rows` are in each of them and are compared."""

    batches: list[BatchTally]
    truths: dict[str, TruthTally]
    rows: int = 0
    succeeded: Counter[tuple[bool, ...]] = field(default_factory=Counter)
    fits: Counter[tuple[bool, ...]] = field(default_factory=Counter)
    # For each field a tally for each batch but the first.
    pairs: dict[str, list[PairTally]] = field(default_factory=dict)
    # True if there are more fields.
    is_cut: bool = False

    def add(self, row: PairedRow) -> None:
        """Count a row; one that is not in each batch is only counted as missing."""
        answers = row.compared
        if not answers:
            for tally, answer in zip(self.batches, row.answers, strict=True):
                if isinstance(answer, Missing):
                    tally.missing[answer] += 1
            return
        self.rows += 1
        self.succeeded[tuple(answer.succeeded for answer in answers)] += 1
        self.fits[tuple(answer.fits for answer in answers)] += 1
        for tally, answer in zip(self.batches, answers, strict=True):
            tally.add(answer)
            tally.agreed += is_agreed(answers[0], answer)
        for name, truth in self.truths.items():
            truth.add(name, row, answers)
        self._add_fields(answers)

    def _add_fields(self, answers: Sequence[RowAnswer]) -> None:
        first, *others = answers
        for place, other in enumerate(others):
            for name, value in first.fields.items():
                if name not in other.fields:
                    continue
                tallies = self._pairs_of(name, len(others))
                if tallies:
                    tallies[place].add(value, other.fields[name])

    def _pairs_of(self, name: str, others: int) -> list[PairTally]:
        if name not in self.pairs:
            if len(self.pairs) >= MOST_FIELDS:
                self.is_cut = True
                return []
            self.pairs[name] = [PairTally() for _ in range(others)]
        return self.pairs[name]


def tally_of(number: int, truths: dict[str, str]) -> ComparisonTally:
    """Return an empty tally of this number of batches, with the columns of truths by field."""
    return ComparisonTally(
        batches=[BatchTally() for _ in range(number)],
        truths={name: TruthTally(column) for name, column in truths.items()},
    )
