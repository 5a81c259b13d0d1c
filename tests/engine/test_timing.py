import math
import random
import tracemalloc
from array import array
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine import timing
from batches.engine.timing import TimingStats, percentile, timing_stats

seconds = st.floats(0, 1e6)


def stats(
    latencies: list[float], *, total_s: float = 10.0, first_result_s: float | None = 1.0
) -> TimingStats:
    return timing_stats(
        latencies, busy_s=sum(latencies), total_s=total_s, first_result_s=first_result_s
    )


@given(values=st.lists(seconds, min_size=1, max_size=200), share=st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_reach(
    values: list[float], share: int
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share / 100)
    needed = math.ceil(Fraction(share, 100) * len(ordered))
    assert found in ordered
    assert sum(value <= found for value in ordered) >= needed
    assert sum(value < found for value in ordered) < needed


@pytest.mark.parametrize("count", [1, 2, 3, 10, 19, 20, 21, 99, 100, 101, 1000, 100_000])
def test_the_percentiles_of_the_first_numbers_are_known(count: int) -> None:
    got = stats([float(number) for number in range(count, 0, -1)])
    assert got.p50_s == -(-count * 50 // 100)
    assert got.p95_s == -(-count * 95 // 100)
    assert got.p99_s == -(-count * 99 // 100)


@given(latencies=st.lists(seconds, min_size=1, max_size=50))
def test_percentiles_rise_and_the_average_lies_between(latencies: list[float]) -> None:
    got = stats(latencies)
    assert got.p50_s is not None
    assert got.p95_s is not None
    assert got.p99_s is not None
    assert got.average_s is not None
    assert min(latencies) <= got.p50_s <= got.p95_s <= got.p99_s <= max(latencies)
    assert min(latencies) <= got.average_s * (1 + 1e-9)
    assert got.average_s <= max(latencies) * (1 + 1e-9)
    assert got.answered == len(latencies)


@given(st.lists(seconds | st.sampled_from([0.0, 5e-324, 1.0]), min_size=1, max_size=200))
def test_percentiles_of_many_runs_are_those_of_the_whole(latencies: list[float]) -> None:
    runs = [array("d", sorted(latencies[lo : lo + 7])) for lo in range(0, len(latencies), 7)]
    ordered = sorted(latencies)
    for rank, value in enumerate(ordered, start=1):
        assert timing._value_at(runs, rank) == value


def test_a_latency_takes_eight_bytes() -> None:
    count = 20 * timing.RUN
    latencies = (random.lognormvariate(-1, 0.8) for _ in range(count))
    tracemalloc.start()
    try:
        got = timing_stats(latencies, busy_s=1.0, total_s=1.0, first_result_s=None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.answered == count
    assert peak < 8 * count + 100 * timing.RUN


def test_a_known_run_has_known_figures() -> None:
    got = timing_stats([3.0, 1.0, 2.0], busy_s=8.0, total_s=4.0, first_result_s=0.5)
    assert got == TimingStats(
        answered=3,
        first_result_s=0.5,
        total_s=4.0,
        average_s=2.0,
        p50_s=2.0,
        p95_s=3.0,
        p99_s=3.0,
        prompts_per_s=0.75,
        speed_up=2.0,
    )


def test_a_run_without_answers_has_no_figures_but_its_time() -> None:
    got = timing_stats([], busy_s=0.0, total_s=4.0, first_result_s=None)
    assert got == TimingStats(total_s=4.0)
    assert got.as_dict()["average_s"] is None


def test_a_run_that_took_no_time_has_no_speed() -> None:
    got = stats([0.0], total_s=0.0, first_result_s=0.0)
    assert (got.prompts_per_s, got.speed_up) == (None, None)
    assert (got.average_s, got.p99_s) == (0.0, 0.0)


def test_the_figures_are_rounded_for_showing() -> None:
    shown = stats([0.123456, 0.2], total_s=1 / 3, first_result_s=0.00049).as_dict()
    assert shown["p50_s"] == 0.123
    assert shown["total_s"] == 0.333
    assert shown["first_result_s"] == 0.0
    assert shown["answered"] == 2
    assert set(shown) == set(TimingStats.__slots__)


def test_a_run_is_described_in_one_line_also_when_nothing_was_answered() -> None:
    described = stats([1.0, 3.0], total_s=4.0, first_result_s=0.5).describe()
    assert "total 4.000 s, average 2.000 s per request" in described
    assert "first result after 0.500 s" in described
    empty = stats([], total_s=4.0, first_result_s=None).describe()
    assert "total 4.000 s" in empty
    assert "None" not in empty
    assert "\n" not in described + empty
