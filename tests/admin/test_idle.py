"""Time in which nobody worked on a batch is not drawn; time in which somebody waited is."""

import pytest

from batches.admin.batches.graphs import charts_of, course_of
from batches.admin.samples import Sample, Samples
from batches.models import Batch, Provider

HOUR = 3600.0


def samples(*results: tuple[float, float]) -> Samples:
    """Results by the time at which they came and how long their calls took."""
    return Samples([Sample(done, latency) for done, latency in results], 1)


def batch(*, active_s: float, status: str = "completed") -> Batch:
    return Batch(
        total=4, succeeded=4, active_s=active_s, status=status, batch_size=2, provider=Provider()
    )


def test_the_hours_before_a_retry_are_left_out() -> None:
    found = samples((101, 1), (105, 5), (HOUR + 102, 2), (HOUR + 105, 5))
    course = course_of(batch(active_s=10), found, {})
    assert course.span.seconds == pytest.approx(10)
    assert [one.done_at for one in course.samples.results] == [101, 105, 107, 110]
    assert [moment - course.span.begin for moment in course.cuts] == [5]
    assert course.idle_s == HOUR - 5
    first = charts_of(batch(active_s=10), found, {})[0]
    assert first.cuts == [50.0]
    assert first.summary == "4 in 10 s, excluding 59 min 55 s idle"


def test_waiting_for_a_rate_limit_is_not_cut_out() -> None:
    found = samples((101, 1), (161, 1), (221, 1))
    course = course_of(batch(active_s=121), found, {})
    assert (course.span.seconds, course.cuts) == (121, [])


def test_of_several_standstills_each_is_cut_out() -> None:
    found = samples((101, 1), (HOUR, 1), (3 * HOUR, 1))
    course = course_of(batch(active_s=3), found, {})
    assert course.span.seconds == pytest.approx(3)
    assert len(course.cuts) == 2


def test_while_a_batch_runs_calls_in_flight_are_drawn_as_far_as_they_are_known() -> None:
    # Two calls at once all the time; the last two of them are not done yet.
    found = samples((102, 2), (103, 2), (104, 2), (105, 2), (106, 2))
    live, ended = (
        charts_of(batch(active_s=5, status=s), found, {})[-1] for s in ("in_progress", "completed")
    )
    assert (live.title, ended.title) == ("Calls in flight", "Calls in flight")
    heights = [float(point.split(",")[1]) for point in live.lines[0][1:].split(" L")]
    assert heights[-1] == 0.0, "it falls at its end"
    assert live.x[-1].label == "4 s"
    assert ended.x[-1].label == "6 s"


def test_too_early_to_tell_what_is_in_flight_nothing_is_drawn() -> None:
    titles = [
        chart.title
        for chart in charts_of(batch(active_s=1, status="in_progress"), samples((101, 1)), {})
    ]
    assert titles == ["Prompts done over time", "Latency of calls"]
