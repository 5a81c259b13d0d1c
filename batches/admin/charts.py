"""Charts of a batch's timing: convert values to shapes. The template draws them as SVG.

Coordinates are per cent of the plot, y downwards. Labels are HTML beside the drawing, so that they
have the same size on every screen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from batches.admin.samples import Sample, Samples
from batches.engine.timing import percentile
from batches.formats import count, duration, share

BUCKETS = 120
BINS = 32
# The few slower calls are counted in the last bar; the axis would be too long with them.
SHOWN_SHARE = 0.995
ROOM_FOR_A_WORD = 80.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a position of an axis."""

    at: float
    label: str

    @property
    def is_last(self) -> bool:
        """Return True if there is no room for the label on its right."""
        return self.at > ROOM_FOR_A_WORD


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that stands on the x axis."""

    x: float
    width: float
    height: float

    @property
    def y(self) -> float:
        return 100 - self.height


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its labels; `summary` describes it for users who cannot see it.

    `cuts` are the positions at which idle time is cut out.
    """

    title: str
    summary: str
    lines: list[str] = field(default_factory=list)
    areas: list[str] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    marks: list[Tick] = field(default_factory=list)
    legend: list[str] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    x: list[Tick] = field(default_factory=list)
    y: list[Tick] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """The time span of a chart, as Unix times."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return max(self.end - self.begin, 0.001)

    def until(self, moment: float) -> "TimeSpan":
        """Return the part of the span before a moment."""
        return TimeSpan(self.begin, max(self.begin, min(self.end, moment)))

    def at(self, moment: float) -> float:
        return share(max(0.0, moment - self.begin), self.seconds)


# Latencies in seconds by their name, such as p50.
Percentiles = dict[str, float]


@dataclass(frozen=True, slots=True)
class Course:
    """A batch in a chart: its name, its results, and the idle time that was cut out.

    `done` and `percentiles` are its figures, which samples only approximate.
    """

    name: str
    samples: Samples
    span: TimeSpan
    done: int
    percentiles: Percentiles
    cuts: Sequence[float] = ()
    idle_s: float = 0.0


def span_of(samples: Samples) -> TimeSpan:
    """Return the span from the first call to the last result."""
    if not samples.results:
        return TimeSpan(0.0, 1.0)
    begin = min(one.begun_at for one in samples.results)
    return TimeSpan(begin, samples.results[-1].done_at)


def completions(courses: Sequence[Course], *, total: int) -> Chart:
    """Draw the completed prompts over time; several batches each count from their own start."""
    longest = max((course.span.seconds for course in courses), default=1.0)
    curves = [_curve(course, longest, total) for course in courses]
    return Chart(
        title="Prompts done over time",
        summary=_words(courses, _done_words),
        lines=[_path(curve) for curve in curves],
        areas=[f"{_path(curve)} L{curve[-1][0]:.2f},100 L0,100 Z" for curve in curves[:1]],
        legend=_legend(courses),
        cuts=_cuts(courses[0], courses[0].span) if len(courses) == 1 else [],
        x=_time_ticks(longest),
        y=_value_ticks(total),
    )


def latencies(courses: Sequence[Course]) -> Chart:
    """Draw the distribution of latencies with the 50th, 95th and 99th percentile."""
    ordered = [course.samples.latencies for course in courses]
    top = max((percentile(one, SHOWN_SHARE) for one in ordered if one), default=1.0) or 0.001
    shares = [_bin_shares(one, top) for one in ordered]
    highest = max((value for one in shares for value in one), default=0.0) or 1.0
    first = shares[0] if shares else []
    return Chart(
        title="Latency of calls",
        summary=_words(courses, _latency_words),
        bars=[
            Bar(100 * n / BINS, 100 / BINS, 100 * value / highest) for n, value in enumerate(first)
        ],
        lines=[_path(_outline(one, highest)) for one in shares[1:]],
        marks=_marks(courses[0].percentiles, top) if len(courses) == 1 else [],
        legend=_legend(courses),
        x=_time_ticks(top),
        y=[Tick(0.0, _percent(highest)), Tick(50.0, _percent(highest / 2)), Tick(100.0, "0")],
    )


def in_flight(course: Course, *, window: int, until: float | None = None) -> Chart:
    """Draw the number of calls in flight over time, below the limit of `window` calls.

    While a batch runs, the chart ends at `until`: many later calls have no result yet.
    """
    span = course.span if until is None else course.span.until(until)
    levels = _levels(course.samples, span)
    most = max([*levels, float(window)])
    points = [(100 * n / BUCKETS, 100 - share(value, most)) for n, value in enumerate(levels)]
    path = _path([*points, (100.0, points[-1][1])])
    average = sum(levels) / len(levels)
    return Chart(
        title="Calls in flight",
        summary=f"{average:.1f} on average, limit {count(window)}",
        lines=[path],
        areas=[f"{path} L100,100 L0,100 Z"],
        cuts=_cuts(course, span),
        x=_time_ticks(span.seconds),
        y=_value_ticks(most),
    )


def columns(
    title: str, summary: str, values: Sequence[float], most: str, times: Iterable[str]
) -> Chart:
    """Draw values as columns over time; `most` is the label of the highest one."""
    top = max(values) or 1.0
    width = 100 / len(values)
    places = [0.0, 50.0, 100.0]
    return Chart(
        title=title,
        summary=summary,
        bars=[Bar(n * width, width, 100 * value / top) for n, value in enumerate(values)],
        x=[Tick(at, label) for at, label in zip(places, times, strict=True)],
        # A zero at the top as well would be no scale.
        y=[Tick(0.0, most if any(values) else ""), Tick(100.0, "0")],
    )


def _legend(courses: Sequence[Course]) -> list[str]:
    return [course.name for course in courses] if len(courses) > 1 else []


def _words(courses: Sequence[Course], words_of: Callable[[Course], str]) -> str:
    if len(courses) == 1:
        return words_of(courses[0])
    return "; ".join(f"{course.name}: {words_of(course)}" for course in courses)


def _done_words(course: Course) -> str:
    words = f"{count(course.done)} in {duration(course.span.seconds)}"
    return f"{words}, excluding {duration(course.idle_s)} idle" if course.idle_s else words


def _cuts(course: Course, span: TimeSpan) -> list[float]:
    return [span.at(moment) for moment in course.cuts if moment < span.end]


def _curve(course: Course, longest: float, total: int) -> list[tuple[float, float]]:
    """Return the points of the curve, no more than can be seen."""
    results = course.samples.results
    step = max(1, len(results) // BUCKETS)
    weight = course.done / len(results) if results else 0.0
    points = [(0.0, 100.0)]
    for n in [*range(0, len(results), step), len(results) - 1] if results else []:
        x = share(max(0.0, results[n].done_at - course.span.begin), longest)
        points.append((x, 100 - share((n + 1) * weight, total)))
    return points


def _bin_shares(ordered: Sequence[float], top: float) -> list[float]:
    """Return the share of calls in each bar. Calls slower than `top` count in the last bar."""
    bins = [0] * BINS
    for latency in ordered:
        bins[min(BINS - 1, int(BINS * latency / top))] += 1
    return [number / len(ordered) for number in bins] if ordered else [0.0] * BINS


def _outline(shares: Sequence[float], highest: float) -> list[tuple[float, float]]:
    points = []
    for n, value in enumerate(shares):
        y = 100 - 100 * value / highest
        points += [(100 * n / BINS, y), (100 * (n + 1) / BINS, y)]
    return points


def _marks(percentiles: Percentiles, top: float) -> list[Tick]:
    return [Tick(share(seconds, top), name) for name, seconds in percentiles.items()]


def _latency_words(course: Course) -> str:
    words = ", ".join(f"{name} {duration(value)}" for name, value in course.percentiles.items())
    return words or "no calls completed yet"


def _levels(samples: Samples, span: TimeSpan) -> list[float]:
    """Return the average number of calls in flight in each time bucket."""
    width = span.seconds / BUCKETS
    levels = [0.0] * BUCKETS
    for one in samples.results:
        for bucket, seconds in _overlaps(one, span, width):
            levels[bucket] += samples.weight * seconds / width
    return levels


def _overlaps(one: Sample, span: TimeSpan, width: float) -> list[tuple[int, float]]:
    """Return the buckets in which the call of a result was in flight, with its seconds in each."""
    end = one.done_at - span.begin
    begin = max(0.0, end - (one.latency_s or 0.0))
    first, last = int(begin / width), min(BUCKETS - 1, int(end / width))
    return [
        (n, max(0.0, min(end, (n + 1) * width) - max(begin, n * width)))
        for n in range(first, last + 1)
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x:.2f},{y:.2f}" for x, y in points)


def _time_ticks(seconds: float) -> list[Tick]:
    return [Tick(0.0, "0"), Tick(50.0, duration(seconds / 2)), Tick(100.0, duration(seconds))]


def _value_ticks(top: float) -> list[Tick]:
    middle = [Tick(50.0, count(top / 2))] if round(top) % 2 == 0 else []
    return [Tick(0.0, count(top)), *middle, Tick(100.0, "0")]


def _percent(part: float) -> str:
    return f"{float(f'{100 * part:.2g}'):g} %"
