"""Requests and tokens a minute, shared by all runners that call one model of a provider.

The rules are in engine/pace.py. With Redis, the state is one key, on Redis' clock: a runner reads
the state, decides, and stores the new state if no other runner has changed it meanwhile; else it
decides again. Without Redis, or while it is unavailable, each process uses its share of the limits.
"""

import asyncio
import hashlib
import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import redis
import redis.asyncio
import redis.retry
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from batches.engine.rates.pace import Pace, Reservation
from batches.engine.rates.pace_rules import RULES, Bucket, Limit, Unit, Window

logger = logging.getLogger(__name__)

# Replace a value if it is unchanged; else return the current value. Also return Redis' time.
SWAP = """
local held = redis.call('GET', KEYS[1]) or ''
local swapped = held == ARGV[1]
if swapped then redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
local time = redis.call('TIME')
local moment = time[1] .. '.' .. string.format('%06d', time[2])
return {swapped and 1 or 0, swapped and '' or held, moment}
"""
# The state of a provider that is not called for this long is forgotten.
KEPT_S = 3600

# The longest wait for an answer of Redis, and the pause before it is tried again.
REDIS_PATIENCE_S = 0.5
REDIS_PAUSE_S = 2.0
UNREACHABLE = (RedisError, OSError, TimeoutError)

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
    return f"{_prefix(provider)}{_digest(model)}"


def _prefix(provider: str) -> str:
    return f"threephase:limits:{_digest(provider)}:"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def limits_at(url: str) -> RateLimits:
    """Return limits in the Redis at a URL in Celery's format, else limits of this process."""
    address = _redis_address(url)
    return RedisLimits(address) if address else LocalLimits()


def forget_limits(url: str, provider: str) -> None:
    """Forget the learned limits of a provider, in this process and in the Redis at the URL.

    Raise RedisError or OSError if Redis is unavailable.
    """
    LocalLimits.forget(_prefix(provider))
    address = _redis_address(url)
    if address:
        with redis.Redis.from_url(
            address,
            socket_timeout=REDIS_PATIENCE_S,
            socket_connect_timeout=REDIS_PATIENCE_S,
            retry=redis.retry.Retry(NoBackoff(), 0),
        ) as client:
            for key in client.scan_iter(match=f"{_prefix(provider)}*", count=1000):
                client.delete(key)


def _redis_address(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme in {"redis+socket", "unix"}:
        # The embedded broker, which may not be running.
        return f"unix://{rest}" if Path(rest.partition("?")[0]).exists() else ""
    return url if scheme in {"redis", "rediss"} else ""


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


@dataclass(slots=True)
class _Seen:
    """The state as it was last read from Redis; None before the first read."""

    text: str | None = None


@dataclass(slots=True)
class _RedisClock:
    """The difference between Redis' clock and ours; each answer narrows its bounds."""

    low: float = -math.inf
    high: float = math.inf

    def heard(self, moment: float, *, asked_at: float, heard_at: float) -> None:
        low, high = moment - heard_at, moment - asked_at
        if low > self.high or high < self.low:
            # One of the clocks was changed.
            self.low, self.high = low, high
        self.low, self.high = max(self.low, low), min(self.high, high)

    def now(self) -> float:
        return time.monotonic() + (self.low + self.high) / 2


@dataclass
class RedisLimits:
    """Limits in Redis; while Redis is away, this process uses its share of the last known limits.

    Created and closed inside one event loop.
    """

    url: str
    local: LocalLimits = field(default_factory=LocalLimits)
    _known: dict[str, Limits] = field(default_factory=dict)
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _clock: _RedisClock = field(default_factory=_RedisClock)
    _away_until: float = 0.0

    def __post_init__(self) -> None:
        self._client = redis.asyncio.Redis.from_url(
            self.url,
            socket_timeout=REDIS_PATIENCE_S,
            socket_connect_timeout=REDIS_PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._swap = self._client.register_script(SWAP)

    @property
    def sharers(self) -> int:
        return self.local.sharers

    @sharers.setter
    def sharers(self, sharers: int) -> None:
        self.local.sharers = sharers

    async def ask(
        self, key: str, configured: Limits, news: Sequence[News], calls: Sequence[Amounts]
    ) -> Admission:
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_PATIENCE_S):
                    answer = await self._ask_redis(key, configured, news, calls)
            except UNREACHABLE as error:
                self._away_until = time.monotonic() + REDIS_PAUSE_S
                logger.warning("Redis is unavailable; using a share of the rate limits: %s", error)
            else:
                self._known[key] = answer.limits
                return answer
        last_known = {**self._known.get(key, {}), **configured}
        return await self.local.ask(key, last_known, news, calls)

    async def aclose(self) -> None:
        with suppress(*UNREACHABLE):
            await self._client.aclose()

    async def _ask_redis(
        self, key: str, configured: Limits, news: Sequence[News], calls: Sequence[Amounts]
    ) -> Admission:
        """Decide on the last known state; if the state has changed meanwhile, decide again."""
        seen = self._seen.setdefault(key, _Seen())
        while True:
            if seen.text is None:
                await self._swapped(key, seen, "")
                continue
            now = self._clock.now()
            pace = Pace.load(seen.text) if seen.text else Pace.begun(now)
            answer = apply(pace, configured, news, calls, now)
            if await self._swapped(key, seen, pace.dump()):
                return answer

    async def _swapped(self, key: str, seen: _Seen, text: str) -> bool:
        """Store a state if Redis still has the known one; remember the current state."""
        before = "a first look" if seen.text is None else seen.text
        asked_at = time.monotonic()
        swapped, held, moment = await self._swap(keys=[key], args=[before, text, KEPT_S])
        self._clock.heard(float(moment), asked_at=asked_at, heard_at=time.monotonic())
        seen.text = text if swapped else held.decode()
        return bool(swapped)
