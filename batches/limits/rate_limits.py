"""Requests and tokens a minute, shared by all runners that call one model of a provider.

The rules are in engine/rates/pace.py. The state is in Redis (redis_limits.py); without Redis, or
while it is unavailable, each process uses its share of the limits.
"""

import asyncio
import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from batches.engine.rates.pace import Pace, Reservation
from batches.engine.rates.pace_rules import RULES, Bucket, Limit, Unit, Window

# The burst of a configured limit, in seconds of its rate: slightly below one second, since calls do
# not arrive as evenly as they are sent.
BURST_S = 0.95

# An operation and its arguments, such as ("refused", "requests", 1, 7, 2.0).
News = tuple[str | float, ...]
Limits = Mapping[Unit, Limit]
Amounts = Mapping[Unit, float]


@dataclass(frozen=True, slots=True)
class Admission:
    """Places for the asking calls, and the current limits.

    `slots` are the places of the first calls, in their order; the last one may be booked far ahead,
    or not be booked. `free`: nothing limits the calls, so a runner need not ask for a while.
    `calls` is the number of all bookings so far.
    """

    slots: Sequence[Reservation]
    limits: Limits
    paused_s: float = 0.0
    free: bool = False
    calls: int = 0


class RateLimits(Protocol):
    """A store for the state of limits; `sharers` is the number of processes that share them."""

    sharers: int

    async def ask(
        self, key: str, configured: Limits, news: Sequence[News], calls: Sequence[Amounts]
    ) -> Admission:
        """Apply the news, and book places for calls of these amounts, in their order."""
        ...

    async def aclose(self) -> None: ...


def per_minute(requests: int | None, tokens: int | None) -> dict[Unit, Limit]:
    """Return configured limits per minute as limits per second."""
    found: dict[Unit, int | None] = {"requests": requests, "tokens": tokens}
    return {
        unit: Limit(limit / 60, max(limit / 60 * BURST_S, 1.0))
        for unit, limit in found.items()
        if limit
    }


def key_of(provider: str, model: str) -> str:
    """Return the key of a state, which reveals neither the provider nor the model."""
    return f"{prefix_of(provider)}{_digest(model)}"


def prefix_of(provider: str) -> str:
    """Return the beginning of the keys of a provider's states."""
    return f"threephase:limits:{_digest(provider)}:"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class LocalLimits:
    """The limits of this process, an equal share for each of the `sharers`."""

    _lock = threading.Lock()
    _paces: ClassVar[dict[str, Pace]] = {}

    def __init__(self) -> None:
        self.sharers = 1

    async def ask(
        self, key: str, configured: Limits, news: Sequence[News], calls: Sequence[Amounts]
    ) -> Admission:
        now = asyncio.get_running_loop().time()
        mine = {unit: _share(limit, self.sharers) for unit, limit in configured.items()}
        with self._lock:
            pace = self._paces.setdefault(key, Pace.begun(now))
            return apply(pace, mine, news, calls, now)

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    @classmethod
    def forget(cls, prefix: str) -> None:
        """Forget the states whose keys begin with the prefix."""
        with cls._lock:
            for key in [key for key in cls._paces if key.startswith(prefix)]:
                del cls._paces[key]


def _share(limit: Limit, sharers: int) -> Limit:
    return Limit(limit.rate / sharers, max(limit.burst / sharers, 1.0), limit.source)


def apply(
    pace: Pace, configured: Limits, news: Sequence[News], calls: Sequence[Amounts], now: float
) -> Admission:
    """Apply the news to a state and book places, all at the time `now`."""
    for operation, *arguments in news:
        _OPERATIONS[str(operation)](pace, configured, now, arguments)
    slots: list[Reservation] = []
    for amounts in calls:
        slots.append(pace.reserve(amounts, configured, now))
        if not slots[-1].booked or slots[-1].wait_s > RULES.ahead_s:
            break
    paused_s = max(pace.paused_until - now, 0.0)
    return Admission(
        slots, pace.limits(configured, now), paused_s, pace.is_free(configured, now), pace.calls
    )


def _sent(pace: Pace, configured: Limits, now: float, news: list[Any]) -> None:
    calls, tokens = news
    pace.sent(calls, tokens, configured, now)


def _give_back(pace: Pace, configured: Limits, now: float, news: list[Any]) -> None:
    unit, amount, call = news
    pace.give_back(unit, amount, configured, now, call=call)


def _replied(pace: Pace, _configured: Limits, _now: float, news: list[Any]) -> None:
    pace.replied(news[0])


def _refused(pace: Pace, configured: Limits, now: float, news: list[Any]) -> None:
    unit, amount, call, pause_s = news
    pace.refused(unit, amount, configured, now, call=call, pause_s=pause_s)


def _bucket(pace: Pace, configured: Limits, now: float, news: list[Any]) -> None:
    unit, rate, burst, *rest = news
    bucket = Bucket(Limit(rate, burst, "advertised"), *rest)
    pace.advertised(unit, bucket, configured, now)


def _window(pace: Pace, configured: Limits, now: float, news: list[Any]) -> None:
    unit, *window = news
    pace.advertised(unit, Window(*window), configured, now)


_OPERATIONS = {
    "sent": _sent,
    "give_back": _give_back,
    "replied": _replied,
    "refused": _refused,
    "bucket": _bucket,
    "window": _window,
}
