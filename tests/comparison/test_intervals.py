"""Intervals hold as often as they say, and the better model is named or none."""

from collections import Counter
from random import Random

import pytest

from batches.comparison.intervals import (
    Figure,
    best_in,
    difference_in,
    mean_figure,
    paired_difference,
    share_figure,
    share_in,
)

SEEDS = range(200)
# Of 200 intervals of 95 %, fewer than this hold in one of a hundred thousand cases.
LEAST_COVERED = 0.88 * len(SEEDS)


def run_models(seed: int, accuracies: list[float], rows: int) -> Counter[tuple[bool, ...]]:
    """How often models of these accuracies were right; hard rows are hard for all of them."""
    random = Random(seed)
    patterns: Counter[tuple[bool, ...]] = Counter()
    for _ in range(rows):
        # The same luck for all in half of the rows, so that their answers depend on each other.
        shared = random.random()
        luck = [shared if random.random() < 0.5 else random.random() for _ in accuracies]
        patterns[tuple(one < most for one, most in zip(luck, accuracies, strict=True))] += 1
    return patterns


def holds(figure: Figure | None, value: float) -> bool:
    assert figure is not None
    assert figure.low <= figure.value <= figure.high
    return figure.low <= value <= figure.high


@pytest.mark.parametrize("rows", [40, 300])
@pytest.mark.parametrize("accuracies", [[0.8, 0.9], [0.95, 0.95], [0.3, 0.6, 0.5], [0.99, 0.7]])
def test_intervals_hold_the_true_accuracy_and_difference(
    accuracies: list[float], rows: int
) -> None:
    runs = [run_models(seed, accuracies, rows) for seed in SEEDS]
    for place, accuracy in enumerate(accuracies):
        covered = sum(holds(share_in(run, place), accuracy) for run in runs)
        assert covered >= LEAST_COVERED, (place, covered)
        if place:
            difference = accuracy - accuracies[0]
            covered = sum(holds(difference_in(run, 0, place), difference) for run in runs)
            assert covered >= LEAST_COVERED, (place, covered)


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.7, 0.9], 1), ([0.95, 0.6], 0), ([0.5, 0.7, 0.95], 2), ([0.6, 0.85, 0.5, 0.55], 1)],
)
def test_the_best_model_is_named_or_no_difference_is_shown(
    accuracies: list[float], best: int
) -> None:
    found = Counter(best_in(run_models(seed, accuracies, 300)) for seed in SEEDS)
    assert set(found) <= {best, None}
    assert found[best] >= 0.9 * len(SEEDS)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_between_equal_models_no_difference_is_shown(number: int) -> None:
    found = Counter(best_in(run_models(seed, [0.8] * number, 300)) for seed in SEEDS)
    assert found[None] >= 0.9 * len(SEEDS)


def test_a_share_of_all_or_none_has_an_interval() -> None:
    all_, none = share_figure(10, 10), share_figure(0, 10)
    assert all_ is not None
    assert none is not None
    assert (all_.high, none.low) == (1.0, 0.0)
    # As in tables of the Wilson interval.
    assert all_.low == pytest.approx(0.7225, abs=1e-4)
    assert none.high == pytest.approx(0.2775, abs=1e-4)


def test_without_rows_there_is_no_figure() -> None:
    assert share_figure(0, 0) is None
    assert paired_difference(0, 0, 0) is None
    assert mean_figure(0.0, 0.0, 0) is None
    assert best_in({}) is None
    assert best_in(Counter()) is None


@pytest.mark.parametrize("rows", [1, 2, 10, 1_000_000])
def test_a_difference_is_within_its_interval(rows: int) -> None:
    for gained, lost in ((0, 0), (rows, 0), (0, rows), (rows // 2, rows // 2)):
        assert holds(paired_difference(gained, lost, rows), (gained - lost) / rows)


def test_more_comparisons_make_wider_intervals() -> None:
    one, three = (paired_difference(9, 2, 50, comparisons=n) for n in (1, 3))
    assert one is not None
    assert three is not None
    assert three.low < one.low < one.high < three.high


def test_a_mean_has_an_interval() -> None:
    covered = 0
    for seed in SEEDS:
        values = [Random(f"{seed}/{n}").gauss(2.0, 3.0) for n in range(100)]
        mean = sum(values) / len(values)
        covered += holds(mean_figure(mean, sum((v - mean) ** 2 for v in values), 100), 2.0)
    assert covered >= LEAST_COVERED
    assert mean_figure(2.0, 0.0, 1) == Figure(2.0, 2.0, 2.0, 1)
