"""The interval of a projected sum: how often it covers the sum, and that it is sane."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.ending.projection import Projection, projected
from batches.intake.pilot_groups import chosen_groups
from batches.leases.pilot_sample import EvenSample, GroupedSample

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
        found = projected(([values[place] for place in EvenSample(TOTAL, ROWS)], TOTAL))
        assert found
        covered += found.low <= sum(values) <= found.high
        widths.append((found.high - found.low) / found.likely)
    assert covered >= 0.88 * SEEDS
    # An interval from nothing to anything would cover all sums.
    assert sorted(widths)[SEEDS // 2] < 1


@pytest.mark.parametrize(
    ("shares", "scales", "sigma", "zeros", "widest"),
    [
        ((80, 15, 5), (1, 5, 25), 0.5, 0, 0.6),  # rare rows cost a lot, and a column tells which
        ((80, 15, 5), (1, 5, 25), 1, 0, 1.1),
        ((90, 8, 1, 1), (1, 2, 3, 4), 0.8, 0, 1.1),
        ((1,) * 10, (1,) * 10, 1, 0, 1.1),
        ((60, 40), (1, 1), 0.5, 0.6, 1.2),  # the column tells nothing
    ],
)
def test_groups_cover_the_sum_and_may_say_more_than_an_even_sample(
    shares: tuple[int, ...], scales: tuple[int, ...], sigma: float, zeros: float, widest: float
) -> None:
    covered, widths = 0, []
    for seed in range(SEEDS):
        draw = random.Random(seed)
        kinds = draw.choices(range(len(shares)), weights=shares, k=TOTAL)
        values = [
            0.0 if draw.random() < zeros else draw.lognormvariate(0, sigma) * scales[kind]
            for kind in kinds
        ]
        places: dict[int, list[int]] = {kind: [] for kind in range(len(shares))}
        for place, kind in enumerate(kinds):
            places[kind].append(place)
        sample = GroupedSample(chosen_groups(list(places.values()), ROWS))
        assert sample.rows == ROWS
        found = projected(
            *(([values[place] for place in one.indexes], one.total) for one in sample.groups)
        )
        even = projected(([values[place] for place in EvenSample(TOTAL, ROWS)], TOTAL))
        assert found
        assert even
        covered += found.low <= sum(values) <= found.high
        widths.append((found.high - found.low) / (even.high - even.low))
    assert covered >= 0.88 * SEEDS
    assert sorted(widths)[SEEDS // 2] < widest


def test_a_group_of_which_nothing_is_known_is_like_the_others() -> None:
    found = projected(([1.0, 3.0], 10), ([], 5))
    assert found
    assert found.likely == 30


def test_one_value_of_each_group_still_has_an_interval() -> None:
    found = projected(([1.0], 100), ([3.0], 100))
    assert found
    assert found.low < found.likely < found.high


def test_a_larger_pilot_says_more() -> None:
    draw = random.Random(1)
    values = [lognormal(draw) for _ in range(TOTAL)]
    widths = []
    for rows in (20, 80, 320, 1280):
        found = projected(([values[place] for place in EvenSample(TOTAL, rows)], TOTAL))
        assert found
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def test_equal_costs_leave_no_doubt() -> None:
    assert projected(([0.25] * 10, 1000)) == Projection(250.0, 250.0, 250.0)


def test_what_costs_nothing_is_projected_as_nothing() -> None:
    assert projected(([0.0] * 10, 1000)) == Projection(0.0, 0.0, 0.0)


def test_a_whole_batch_is_known() -> None:
    assert projected(([1.0, 2.0, 3.0], 3)) == Projection(6.0, 6.0, 6.0)


@pytest.mark.parametrize("sample", [[], [3.0]])
def test_one_value_says_nothing_of_others(sample: list[float]) -> None:
    assert projected((sample, 10)) is None


@given(st.lists(st.floats(0, 1e7), min_size=2, max_size=60), st.integers(0, 10**6))
def test_any_costs_give_bounds_in_order(sample: list[float], more: int) -> None:
    found = projected((sample, len(sample) + more))
    assert found
    slack = 1e-9 * found.likely
    assert sum(sample) - slack <= found.low <= found.likely + slack
    assert found.likely - slack <= found.high < float("inf")
