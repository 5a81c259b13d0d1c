"""The interval of a projected sum: how often it covers the sum, and that it is sane."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.ending.projection import Projection, projected
from batches.leases.pilot_sample import PilotSample

ROWS, TOTAL, SEEDS = 50, 5000, 200


def lognormal(draw: random.Random) -> float:
    return draw.lognormvariate(0, 1)


def mild(draw: random.Random) -> float:
    return draw.lognormvariate(0, 0.3)


def mostly_zero(draw: random.Random) -> float:
    """Failures that cost nothing, among answers."""
    return draw.lognormvariate(0, 0.5) if draw.random() < 0.4 else 0.0


def uniform(draw: random.Random) -> float:
    return draw.random()


@pytest.mark.parametrize("value", [lognormal, mild, mostly_zero, uniform])
def test_the_interval_covers_the_whole_sum_for_most_seeds(
    value: Callable[[random.Random], float],
) -> None:
    covered, widths = 0, []
    for seed in range(SEEDS):
        draw = random.Random(seed)
        values = [value(draw) for _ in range(TOTAL)]
        found = projected([values[place] for place in PilotSample(TOTAL, ROWS)], TOTAL)
        assert found
        covered += found.low <= sum(values) <= found.high
        widths.append((found.high - found.low) / found.likely)
    assert covered >= 0.88 * SEEDS
    # An interval from nothing to anything would cover all sums.
    assert sorted(widths)[SEEDS // 2] < 1


def test_a_larger_pilot_says_more() -> None:
    draw = random.Random(1)
    values = [lognormal(draw) for _ in range(TOTAL)]
    widths = []
    for rows in (20, 80, 320, 1280):
        found = projected([values[place] for place in PilotSample(TOTAL, rows)], TOTAL)
        assert found
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_equal_costs_leave_no_doubt() -> None:
    assert projected([0.25] * 10, 1000) == Projection(250.0, 250.0, 250.0)


def test_what_costs_nothing_is_projected_as_nothing() -> None:
    assert projected([0.0] * 10, 1000) == Projection(0.0, 0.0, 0.0)


def test_a_whole_batch_is_known() -> None:
    assert projected([1.0, 2.0, 3.0], 3) == Projection(6.0, 6.0, 6.0)


@pytest.mark.parametrize("sample", [[], [3.0]])
def test_one_value_says_nothing_of_others(sample: list[float]) -> None:
    assert projected(sample, 10) is None


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=60), st.integers(0, 10**6))
def test_any_costs_give_bounds_in_order(sample: list[float], more: int) -> None:
    found = projected(sample, len(sample) + more)
    assert found
    slack = 1e-9 * found.likely
    assert sum(sample) - slack <= found.low <= found.likely + slack
    assert found.likely - slack <= found.high < float("inf")
