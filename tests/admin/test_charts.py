"""Charts show what the numbers say."""

import json

import pytest

from batches.admin.charts import (
    BUCKETS,
    Course,
    completions,
    in_flight,
    latencies,
    span_of,
)
from batches.admin.json_lines import marked_lines
from batches.admin.samples import Sample, Samples
from batches.engine.timing import percentile
from batches.formats import count, dollars, duration, rate, size


def course(*results: tuple[float, float], weight: int = 1) -> Course:
    """Results by the time at which they came and how long their calls took."""
    samples = Samples([Sample(done, latency) for done, latency in sorted(results)], weight)
    ordered = samples.latencies
    percentiles = {f"p{n}": percentile(ordered, n / 100) for n in (50, 95, 99) if ordered}
    return Course("b", samples, span_of(samples), len(results) * weight, percentiles)


def points(path: str) -> list[tuple[float, float]]:
    pairs = path.removeprefix("M").split(" L")
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in pairs)]


def test_a_curve_of_completions_ends_where_and_when_the_batch_does() -> None:
    chart = completions([course((101, 1), (102, 1), (104, 1), (110, 1))], total=8)
    curve = points(chart.lines[0])
    assert curve[0] == (0.0, 100.0)
    assert curve[-1] == (100.0, 50.0)
    assert curve == sorted(curve)
    assert chart.x[-1].label == "10 s"
    assert chart.summary == "4 in 10 s"


def test_a_faster_batch_has_a_shorter_curve() -> None:
    fast, slow = course((101, 1), (105, 1)), course((201, 1), (210, 1))
    chart = completions([fast, slow], total=2)
    ends = [points(line)[-1] for line in chart.lines]
    assert ends == [(50.0, 0.0), (100.0, 0.0)]


def test_several_batches_are_told_apart_by_name_and_none_speaks_for_all() -> None:
    for chart in (
        completions([course((101, 1)), course((102, 2))], total=1),
        latencies([course((101, 1)), course((102, 2))]),
    ):
        assert len(chart.legend) == 2
        assert chart.summary.count("b: ") == 2


def test_a_word_without_room_on_its_right_stands_on_the_left() -> None:
    marks = latencies([course(*((100 + n, 1) for n in range(9)), (120, 20))]).marks
    assert [mark.is_last for mark in marks] == [False, True, True]


def test_each_sample_stands_for_its_weight() -> None:
    chart = completions([course((101, 1), (102, 1), weight=50)], total=100)
    assert points(chart.lines[0])[-1] == (100.0, 0.0)


def test_bars_of_latency_hold_every_call() -> None:
    chart = latencies([course(*((100 + n, latency) for n, latency in enumerate([1, 1, 1, 4])))])
    heights = [bar.height for bar in chart.bars]
    assert sum(heights) == pytest.approx(100 * 4 / 3)
    assert max(heights) == 100
    assert heights[-1] == pytest.approx(100 / 3)
    assert [(mark.label, mark.at) for mark in chart.marks] == [
        ("p50", 25.0),
        ("p95", 100.0),
        ("p99", 100.0),
    ]


def test_calls_in_flight_are_those_that_overlap() -> None:
    # Two calls all the time, a third in the second half.
    chart = in_flight(course((110, 10), (110, 10), (110, 5)), window=4)
    levels = points(chart.lines[0])
    assert levels[0] == (0.0, 50.0)
    assert levels[BUCKETS - 1][1] == 25.0
    assert chart.summary == "2.5 on average, limit 4"


def test_nothing_done_yet_draws_nothing_wrong() -> None:
    empty = course()
    assert completions([empty], total=0).lines
    assert latencies([empty]).summary == "no calls completed yet"
    assert in_flight(empty, window=1).summary.startswith("0.0 on average")


def test_a_fault_stands_on_the_line_of_its_value() -> None:
    value = {"a": [1, {"b": "x"}], "c": {}}
    lines = marked_lines(value, {("a", 1, "b"): ["no number"], (): ["too long"]})
    assert [(line.text, list(line.faults)) for line in lines if line.faults] == [
        ("{", ["too long"]),
        ('      "b": "x"', ["no number"]),
    ]
    assert lines[-1].text == "}"


def test_lines_are_the_json_that_they_show() -> None:
    value = {"a": [1, 2, {"b": None}], "": [], "c": {"d": 'quote " and </script>'}}
    assert json.loads("\n".join(line.text for line in marked_lines(value, {}))) == value


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(0.32), "320 ms"),
        (duration(4.25), "4.2 s"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
        (duration(59.97), "1 min"),
        (count(12345), "12,345"),
        (count(1_234_567), "1.2 M"),
        (rate(0.05), "3.0/min"),
        (rate(44.4), "44/s"),
        (dollars(None), "\N{EN DASH}"),
        (size(1_500_000), "1.5 MB"),
    ],
)
def test_numbers_are_short(shown: str, expected: str) -> None:
    assert shown == expected
