"""The charts of a batch, running or ended."""

from batches.admin.charts import (
    Chart,
    Course,
    Percentiles,
    completions,
    in_flight,
    latencies,
    span_of,
)
from batches.admin.idle import cut_s, idle_cuts, without
from batches.admin.samples import Samples
from batches.engine.timing import percentile
from batches.lifecycle import TERMINAL
from batches.models import Batch

SHOWN_ID_CHARS = 14
SHOWN_NAME_CHARS = 40


def charts_of(batch: Batch, samples: Samples, percentiles: Percentiles) -> list[Chart]:
    """Return the charts on the page of a batch; none before there are results."""
    if not samples.results:
        return []
    course = course_of(batch, samples, percentiles)
    charts = [completions([course], total=batch.total), latencies([course])]
    until = None if batch.status in TERMINAL else _known_until(course)
    if until is None or until > course.span.begin:
        window = batch.batch_size * batch.parallelism
        charts.append(in_flight(course, window=window, until=until))
    return charts


def course_of(batch: Batch, samples: Samples, percentiles: Percentiles) -> Course:
    """Return a batch for the charts, without its idle time."""
    cuts = idle_cuts(samples, batch.active_s)
    moved = without(cuts, samples)
    return Course(
        name=short_name(batch),
        samples=moved,
        span=span_of(moved),
        done=batch.succeeded + batch.failed,
        percentiles=percentiles,
        cuts=[cut.before - cut_s(cuts, cut.before) for cut in cuts],
        idle_s=sum(cut.seconds for cut in cuts),
    )


def short_name(batch: Batch) -> str:
    """Return the beginning of the name of a batch, or of its ID."""
    return batch.name[:SHOWN_NAME_CHARS] or f"{batch.public_id[:SHOWN_ID_CHARS]}…"


def _known_until(course: Course) -> float:
    """Return the time until which the calls in flight of a running batch are known.

    Nearly all calls that began before it have ended.
    """
    slow_s = percentile(course.samples.latencies, 0.95) if course.samples.latencies else 0.0
    return course.span.end - slow_s
