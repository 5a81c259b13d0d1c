"""Timing statistics of a run."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


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
    ordered = sorted(latencies)
    if not ordered:
        return TimingStats(total_s=total_s)
    return TimingStats(
        answered=len(ordered),
        first_result_s=first_result_s,
        total_s=total_s,
        average_s=math.fsum(ordered) / len(ordered),
        p50_s=percentile(ordered, 0.50),
        p95_s=percentile(ordered, 0.95),
        p99_s=percentile(ordered, 0.99),
        prompts_per_s=len(ordered) / total_s if total_s else None,
        speed_up=busy_s / total_s if total_s else None,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of ascending values.

    It is the least value that at least `share` of the values do not exceed.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
