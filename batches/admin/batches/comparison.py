"""Compare the timings of several batches."""

from collections.abc import Sequence
from dataclasses import dataclass

from batches.admin.batches.graphs import course_of, short_name
from batches.admin.batches.timing import Timing, timing_of
from batches.admin.charts import Chart, completions, latencies
from batches.admin.samples import samples_of
from batches.leases.state import ShownState, state_of
from batches.models import Batch


@dataclass(frozen=True, slots=True)
class Compared:
    """A batch of the comparison."""

    batch: Batch
    name: str
    timing: Timing

    @property
    def state(self) -> ShownState:
        return state_of(self.batch)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The compared batches, and charts that show them together."""

    batches: list[Compared]
    charts: list[Chart]


def comparison_of(batches: Sequence[Batch]) -> Comparison:
    """Compare the timings of batches, each counted from its own start."""
    samples = [samples_of(batch) for batch in batches]
    pairs = list(zip(batches, samples, strict=True))
    compared = [Compared(batch, short_name(batch), timing_of(batch, some)) for batch, some in pairs]
    courses = [
        course_of(one.batch, some, one.timing.percentiles)
        for one, some in zip(compared, samples, strict=True)
        if some.results
    ]
    total = max((batch.total for batch in batches), default=0)
    return Comparison(
        batches=compared,
        charts=[completions(courses, total=total), latencies(courses)] if courses else [],
    )
