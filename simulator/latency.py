"""Latency of calls: specs such as "lognormal:0.3,0.8", and the seconds drawn from them."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

LONGEST = 3600.0

SPECS = (
    "0, 0.5 or fixed:0.5 (seconds), uniform:0.1,0.9 (least, most), "
    "lognormal:0.3,0.8 (median, sigma)"
)

Draw = Callable[[float], float]


def seconds(spec: str, chance: float) -> float:
    """Return the latency at this quantile (0 to 1) of the spec, at most an hour."""
    return min(_draw(spec)(chance), LONGEST)


def checked_spec(spec: str) -> str:
    """Return the spec. Raise ValueError if it is invalid."""
    _draw(spec)
    return spec


@lru_cache(maxsize=256)
def _draw(spec: str) -> Draw:
    kind, _, numbers = spec.rpartition(":")
    try:
        values = [float(number) for number in numbers.split(",")]
        if not all(math.isfinite(value) and value >= 0 for value in values):
            raise ValueError(spec)
        return _KINDS[kind](*values)
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{spec!r} is not a latency; write one of: {SPECS}") from None


def _fixed(value: float) -> Draw:
    return lambda _: value


def _uniform(least: float, most: float) -> Draw:
    if most < least:
        raise ValueError(most)
    return lambda chance: least + (most - least) * chance


def _lognormal(median: float, sigma: float) -> Draw:
    if sigma > 10:
        raise ValueError(sigma)
    normal = NormalDist()
    return lambda chance: median * math.exp(sigma * normal.inv_cdf(chance))


_KINDS: dict[str, Callable[..., Draw]] = {
    "": _fixed,
    "fixed": _fixed,
    "uniform": _uniform,
    "lognormal": _lognormal,
}
