"""Project a sum over a whole batch from an evenly spread sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

# The normal quantile for 90 %, widened for small samples: they rarely have the few large values
# that carry much of a skewed sum. The test measures how often the interval covers the sum.
QUANTILE, EXTRA_FOR_FEW = 1.645, 5.0


@dataclass(frozen=True, slots=True)
class Projection:
    """The likely sum over a whole batch, and its bounds with a confidence of 90 %."""

    likely: float
    low: float
    high: float


def projected(sample: Sequence[float], total: int) -> Projection | None:
    """Return the sum over `total` values of which a sample is known; None for less than two.

    The values must not be negative. The interval is symmetrical for the logarithm of the sum, so
    its ends are positive; the upper end is farther away, the more skewed the sample is.
    """
    size = len(sample)
    if size >= total:
        return Projection(*[math.fsum(sample)] * 3)
    if size < 2:
        return None
    known, mean = math.fsum(sample), fmean(sample)
    if mean <= 0:
        return Projection(0.0, 0.0, 0.0)
    deviations = [value / mean - 1 for value in sample]
    spread = math.sqrt(math.fsum(d**2 for d in deviations) / (size - 1))
    skew = math.fsum(d**3 for d in deviations) / size / spread**3 if spread else 0.0
    error = spread * math.sqrt((1 - size / total) / size)
    reach = QUANTILE * (1 + EXTRA_FOR_FEW / size) * error
    others = (total - size) * mean
    return Projection(
        likely=known + others,
        low=known + others * math.exp(-reach),
        high=known + others * math.exp(reach * (1 + max(skew, 0.0) / math.sqrt(size))),
    )
