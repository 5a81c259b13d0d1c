"""Project a sum over a whole batch from a sample: evenly spread, or of several groups."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

# The normal quantile for 90 %, widened for small samples: they rarely have the few large values
# that carry much of a skewed sum. The test measures how often the interval covers the sum.
QUANTILE, EXTRA_FOR_FEW = 1.645, 5.0


@dataclass(frozen=True, slots=True)
class Projection:
    """The likely sum over a whole batch, and its bounds with a confidence of 90 %."""

    likely: float
    low: float
    high: float


def projected(*groups: tuple[Sequence[float], int]) -> Projection | None:
    """Return the sum over all values of groups of which some are known; None for less than two.

    The values must not be negative. The interval is symmetrical for the logarithm of the sum, so
    its ends are positive; the upper end is farther away, the more skewed the sample is.
    """
    every = [value for values, _ in groups for value in values]
    size, known = len(every), math.fsum(every)
    if size >= sum(total for _, total in groups):
        return Projection(*[known] * 3)
    if size < 2:
        return None
    # A group without a known value is like all of them.
    parts = [_Share(values, fmean(values or every), total) for values, total in groups]
    others = math.fsum(part.unknown * part.mean for part in parts)
    if others <= 0:
        return Projection(*[known] * 3)
    mean = fmean(every)
    # Few groups have enough values for a spread of their own: the same is taken for all, either
    # as it is or relative to their means, whichever says less.
    scalings = [mean] * len(parts), [part.mean or mean for part in parts]
    reaches = [_reach(parts, scales, others) for scales in scalings]
    return Projection(
        likely=known + others,
        low=known + others * math.exp(-max(low for low, _ in reaches)),
        high=known + others * math.exp(max(high for _, high in reaches)),
    )


class _Share(NamedTuple):
    """A group: its known values, the mean by which the others are guessed, and its size."""

    values: Sequence[float]
    mean: float
    total: int

    @property
    def unknown(self) -> int:
        return self.total - len(self.values)

    @property
    def known(self) -> int:
        return max(len(self.values), 1)


def _reach(parts: Sequence[_Share], scales: Sequence[float], others: float) -> tuple[float, float]:
    """Return how far the logarithm of the guessed sum may be off, down and up, if the values of
    each group vary by its scale."""
    size = sum(len(part.values) for part in parts)
    freedom = size - sum(bool(part.values) for part in parts)
    # If no group has two values, they vary around the mean of all.
    centres = [part.mean if freedom else scale for part, scale in zip(parts, scales, strict=True)]
    deviations = [
        (value - centre) / scale
        for part, centre, scale in zip(parts, centres, scales, strict=True)
        for value in part.values
    ]
    spread = math.sqrt(math.fsum(d**2 for d in deviations) / (freedom or size - 1))
    skew = math.fsum(d**3 for d in deviations) / size / spread**3 if spread else 0.0
    variance = math.fsum(
        (part.unknown * scale) ** 2 * (1 - part.known / part.total) / part.known
        for part, scale in zip(parts, scales, strict=True)
    )
    error = spread * math.sqrt(variance) / others
    reach = QUANTILE * (1 + EXTRA_FOR_FEW / size) * error
    return reach, reach * (1 + max(skew, 0.0) / math.sqrt(size))
