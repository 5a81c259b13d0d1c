"""The rate limits that a provider advertises in the headers of its replies."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from batches.engine.rates.pace_rules import UNITS, Unit

# Most providers use OpenAI's names; Anthropic has its own, and counts tokens in two ways.
NAMES: dict[Unit, tuple[str, ...]] = {
    "requests": (
        "x-ratelimit-{}-requests",
        "anthropic-ratelimit-requests-{}",
    ),
    "tokens": (
        "x-ratelimit-{}-tokens",
        "anthropic-ratelimit-tokens-{}",
    ),
}
ANNOUNCING_HEADERS = tuple(
    name.format(part)
    for names in NAMES.values()
    for name in names
    for part in ("limit", "remaining", "reset")
)
_ANNOUNCING = frozenset(ANNOUNCING_HEADERS)
# A limit whose bucket takes longer to refill is ignored, since no run could follow it.
MAX_RESET_S = 32 * 86400.0
MAX_LIMIT = 1e12

_DURATION = re.compile(
    r"(?:(?P<days>\d+(?:\.\d+)?)d)?(?:(?P<hours>\d+(?:\.\d+)?)h)?"
    r"(?:(?P<minutes>\d+(?:\.\d+)?)m(?!s))?(?:(?P<seconds>\d+(?:\.\d+)?)s)?"
    r"(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_SECONDS_OF = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Announced:
    """A limit as the headers state it; `reset_s` is rounded to `grain_s`.

    The meaning of the reset differs (`reset_meaning.py`): the time until a bucket is full again, or
    until a fixed window ends.
    """

    limit: float
    remaining: float
    reset_s: float
    grain_s: float


AnnouncedLimits = Mapping[Unit, Announced]


def announced_limits(
    headers: Mapping[str, str], *, now: datetime | None = None
) -> AnnouncedLimits | None:
    """Return the limits in these headers; None if there are none, or none that make sense."""
    if _ANNOUNCING.isdisjoint(headers):
        # Most replies announce nothing.
        return None
    found = {}
    for unit in UNITS:
        for name in NAMES[unit]:
            announced = _announced(headers, name, now)
            if announced is not None:
                found[unit] = announced
    return found or None


def _announced(headers: Mapping[str, str], name: str, now: datetime | None) -> Announced | None:
    limit = _number(headers.get(name.format("limit"), ""))
    remaining = _number(headers.get(name.format("remaining"), ""))
    reset = _reset(headers.get(name.format("reset"), ""), now)
    if limit is None or remaining is None or reset is None or not 1 <= limit <= MAX_LIMIT:
        return None
    return Announced(limit, min(max(remaining, 0.0), limit), *reset)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _reset(text: str, now: datetime | None) -> tuple[float, float] | None:
    """Return the seconds until the reset, and the precision of that number in seconds."""
    text = text.strip()
    seconds = _number(text)
    if seconds is not None:
        grain = _grain(text)
    elif (match := _DURATION.fullmatch(text)) and text:
        parts = [(name, value) for name, value in match.groupdict().items() if value]
        seconds = sum(float(value) * _SECONDS_OF[name] for name, value in parts)
        name, value = parts[-1]
        grain = _grain(value) * _SECONDS_OF[name]
    else:
        seconds, grain = _until(text, now or datetime.now(UTC)), 1.0
    if seconds is None or not 0 <= seconds <= MAX_RESET_S:
        return None
    return seconds, grain


def _grain(number: str) -> float:
    """Return the value of one unit in the last digit of a decimal."""
    return float(10 ** -min(len(number.partition(".")[2]), 9))


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
