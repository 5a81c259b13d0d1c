"""Shares, differences and means with the interval in which they lie with 95 % confidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of some rows, and the bounds of its interval."""

    value: float
    low: float
    high: float
    rows: int


# How many rows were right in each batch and wrong in each: a row counts for one pattern, which has
# True for each batch that was right.
Patterns = Mapping[tuple[bool, ...], int]


def share_figure(part: int, rows: int) -> Figure | None:
    """Return a share with its Wilson interval; None without rows."""
    if not rows:
        return None
    z = _z()
    share, spread = part / rows, z * z / rows
    centre = (share + spread / 2) / (1 + spread)
    reach = z * sqrt(share * (1 - share) / rows + spread / rows / 4) / (1 + spread)
    # Rounding must not exclude the share itself.
    low, high = max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))
    return Figure(share, low, high, rows)


def paired_difference(gained: int, lost: int, rows: int, *, comparisons: int = 1) -> Figure | None:
    """Return the difference of two shares of the same rows; None without rows.

    `gained` rows count only for the second share, and `lost` only for the first. The interval is
    that of Agresti and Min, a Wald interval of the discordant rows with half a row added to each
    of the four cells. With several `comparisons`, all their intervals hold together.
    """
    if not rows:
        return None
    more, less, whole = gained + 0.5, lost + 0.5, rows + 2
    centre = (more - less) / whole
    reach = _z(comparisons) * sqrt(more + less - (more - less) ** 2 / whole) / whole
    return Figure((gained - lost) / rows, max(-1.0, centre - reach), min(1.0, centre + reach), rows)


def difference_in(
    patterns: Patterns, first: int, second: int, *, comparisons: int = 1
) -> Figure | None:
    """Return the share of right rows of the second batch minus that of the first."""
    gained = sum(n for right, n in patterns.items() if right[second] and not right[first])
    lost = sum(n for right, n in patterns.items() if right[first] and not right[second])
    return paired_difference(gained, lost, sum(patterns.values()), comparisons=comparisons)


def share_in(patterns: Patterns, place: int) -> Figure | None:
    """Return the share of right rows of a batch."""
    right = sum(n for pattern, n in patterns.items() if pattern[place])
    return share_figure(right, sum(patterns.values()))


def best_in(patterns: Patterns) -> int | None:
    """Return the place of the batch that is right more often than each of the others.

    None if no difference is shown to one of the others: an interval contains zero.
    """
    if not patterns:
        return None
    places = range(len(next(iter(patterns))))
    right = [sum(n for pattern, n in patterns.items() if pattern[at]) for at in places]
    best = max(places, key=right.__getitem__)
    for other in places:
        if other == best:
            continue
        found = difference_in(patterns, other, best, comparisons=len(places) - 1)
        if found is None or found.low <= 0:
            return None
    return best


def mean_figure(mean: float, squares: float, rows: int) -> Figure | None:
    """Return a mean with its interval, from the sum of the squared distances to it; None without
    rows."""
    if not rows:
        return None
    reach = _z() * sqrt(squares / (rows - 1) / rows) if rows > 1 else 0.0
    return Figure(mean, mean - reach, mean + reach, rows)


@cache
def _z(comparisons: int = 1) -> float:
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2 / comparisons)
