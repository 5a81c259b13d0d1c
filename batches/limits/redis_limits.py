"""Rate limits in Redis, shared by all runners.

The state is one key, on Redis' clock: a runner reads the state, decides, and stores the new state
if no other runner has changed it meanwhile; else it decides again.
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from batches.extras import require

# Before anything imports the packages of this extra.
require("redis", "A Redis for rate limits")

import redis
import redis.asyncio
import redis.retry
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from batches.engine.rates.pace import Pace
from batches.limits.rate_limits import Admission, Amounts, Limits, LocalLimits, News, apply

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


def forget_states(address: str, prefix: str) -> None:
    """Forget the states whose keys begin with the prefix. Raise OSError if Redis is unavailable."""
    client = redis.Redis.from_url(
        address,
        socket_timeout=REDIS_PATIENCE_S,
        socket_connect_timeout=REDIS_PATIENCE_S,
        retry=redis.retry.Retry(NoBackoff(), 0),
    )
    try:
        with client:
            for key in client.scan_iter(match=f"{prefix}*", count=1000):
                client.delete(key)
    except RedisError as error:
        raise ConnectionError(str(error)) from error
