"""Activity of all batches over the last day or week: charts, and failures by provider."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Sum
from django.utils import timezone

from batches.admin.charts import Chart, columns
from batches.formats import count, dollars, share
from batches.models import BatchHour

HOUR = timedelta(hours=1)
DONE = F("succeeded") + F("failed") - F("before_succeeded") - F("before_failed")
SUMS = {
    "done": Sum(DONE),
    "failed": Sum(F("failed") - F("before_failed")),
    "cost": Sum(F("cost") - F("before_cost")),
}


@dataclass(frozen=True, slots=True)
class Period:
    """A time up to now, in bars of some hours."""

    name: str
    bars: int
    hours_a_bar: int

    @property
    def hours(self) -> int:
        return self.bars * self.hours_a_bar

    @property
    def begin(self) -> datetime:
        """Return the beginning of the first bar; the last one holds the current hour."""
        now = timezone.now().replace(minute=0, second=0, microsecond=0)
        return now + HOUR - self.hours * HOUR


DAY, WEEK = Period("day", bars=24, hours_a_bar=1), Period("week", bars=28, hours_a_bar=6)
PERIODS = {period.name: period for period in (DAY, WEEK)}


def activity_charts(period: Period) -> list[Chart]:
    """Return charts of the prompts, the failures and the cost of a period, with one query."""
    rows = _rows(period)
    return [
        _chart(period, "Prompts done", [row["done"] for row in rows], count),
        _chart(period, "Failures", [row["failed"] for row in rows], count),
        _chart(period, "Cost (known prices)", [row["cost"] for row in rows], dollars),
    ]


def failed_shares() -> dict[int, float]:
    """Return the share of failures of the last day in per cent, by provider."""
    rows = _sums("batch__provider", since=DAY.begin)
    return {
        row["batch__provider"]: share(row["failed"], row["done"]) for row in rows if row["done"]
    }


def _sums(group: str, *, since: datetime) -> list[dict[str, Any]]:
    found = BatchHour.objects.filter(hour__gte=since).order_by().values(group).annotate(**SUMS)
    return list(map(dict, found))


def _rows(period: Period) -> list[dict[str, Any]]:
    """Return the sums of each bar."""
    begin = period.begin
    bars: list[dict[str, Any]] = [dict.fromkeys(SUMS, 0) for _ in range(period.bars)]
    for row in _sums("hour", since=begin):
        place = (row["hour"] - begin) // (period.hours_a_bar * HOUR)
        # The hour of a runner whose clock is ahead may be beyond the last bar.
        bar = bars[min(place, period.bars - 1)]
        bar.update({name: bar[name] + row[name] for name in SUMS})
    return bars


def _chart(
    period: Period, title: str, values: Sequence[Any], words_of: Callable[[Any], str]
) -> Chart:
    unit = "an hour" if period.hours_a_bar == 1 else f"in {period.hours_a_bar} hours"
    total, most = sum(values), max(values)
    summary = f"{words_of(total)} in the last {period.name}"
    if total:
        summary += f", up to {words_of(most)} {unit}"
    return columns(title, summary, list(map(float, values)), words_of(most), _times(period))


def _times(period: Period) -> Iterable[str]:
    if period is DAY:
        return ("24 h ago", "12 h ago", "now")
    return ("7 days ago", "3 days ago", "now")
