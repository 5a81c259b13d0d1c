"""Timing statistics of a run."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice

# The number of latencies that are sorted together.
RUN = 10_000


@dataclass(frozen=True, slots=True)
class TimingStats:
    """The times of a run, in seconds.

    `total_s` is from the first request to the last answer, `first_result_s` to the first answer.
    `average_s` and the percentiles are of the latency of answered requests. `speed_up` is the sum
    of the times of all calls, divided by `total_s`.
    """

    answered: int = 0
    first_result_s: float | None = None
    total_s: float = 0.0
    average_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    prompts_per_s: float | None = None
    speed_up: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the figures by name, rounded to three places."""
        return {
            name: value if value is None else round(value, 3)
            for name, value in asdict(self).items()
        }

    def describe(self) -> str:
        """Return the figures in one line, for a log."""
        return (
            f"total {_shown(self.total_s)} s, average {_shown(self.average_s)} s per request, "
            f"first result after {_shown(self.first_result_s)} s, p50 {_shown(self.p50_s)} s, "
            f"p95 {_shown(self.p95_s)} s, {_shown(self.prompts_per_s)} prompts/s, "
            f"{_shown(self.speed_up)} times as fast as one at a time"
        )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def timing_stats(
    latencies: Iterable[float], *, busy_s: float, total_s: float, first_result_s: float | None
) -> TimingStats:
    """Return the statistics of a run, from the latency of each answered request."""
    runs = list(_sorted_runs(latencies))
    if not runs:
        return TimingStats(total_s=total_s)
    answered = sum(map(len, runs))
    p50_s, p95_s, p99_s = (_value_at(runs, _rank(answered, part)) for part in (0.50, 0.95, 0.99))
    return TimingStats(
        answered=answered,
        first_result_s=first_result_s,
        total_s=total_s,
        average_s=math.fsum(chain.from_iterable(runs)) / answered,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        prompts_per_s=answered / total_s if total_s else None,
        speed_up=busy_s / total_s if total_s else None,
    )


def _sorted_runs(values: Iterable[float]) -> "Iterator[array[float]]":
    """Yield the values in sorted pieces of 8 bytes a value; a list would need 32."""
    rest = iter(values)
    while run := sorted(islice(rest, RUN)):
        yield array("d", run)


def _value_at(runs: "Sequence[array[float]]", rank: int) -> float:
    """Return the least value that at least `rank` values do not exceed."""
    low, high = min(run[0] for run in runs), max(run[-1] for run in runs)
    if _count_up_to(runs, low) >= rank:
        return low
    # Halve the interval until no number lies within: then `high` is the value.
    while low < (middle := low + (high - low) / 2) < high:
        if _count_up_to(runs, middle) >= rank:
            high = middle
        else:
            low = middle
    return high


def _count_up_to(runs: "Sequence[array[float]]", value: float) -> int:
    return sum(bisect_right(run, value) for run in runs)


def _rank(count: int, share: float) -> int:
    return max(1, math.ceil(share * count))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ascending values.

    It is the least value that at least `share` of the values do not exceed.
    """
    return ordered[_rank(len(ordered), share) - 1]
