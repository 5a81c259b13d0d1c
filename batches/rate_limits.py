"""Requests and tokens a minute, shared by all who call one model of a provider.

The rules are those of engine/pace.py. With a Redis the state is there, on Redis' clock, changed by
one script: all workers keep to one pace, and a pause holds for all at once. Without one, or while
it is away, each process keeps to its share.
"""

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from batches.engine.pace import UNITS, Limit, Pace, Slot, Unit

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_suffix(".lua").read_text()

# A Redis that does not answer holds calls up so long, and is then left alone for a while.
REDIS_PATIENCE_S = 0.5
REDIS_PAUSE_S = 2.0
UNREACHABLE = (RedisError, OSError, TimeoutError)

# What a limit that was told allows at once, as a share of what it allows in a second: a little
# less than all, since calls do not arrive as evenly as they are sent.
BURST_S = 0.95

# An operation of the script and its arguments, such as ("refused", "requests", 1, 7, 2.0).
News = tuple[str | float, ...]
Limits = Mapping[Unit, Limit]
Amounts = Mapping[Unit, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """A place for a call, if one was asked for; what limits calls now, and for how long none may
    be made."""

    slot: Slot
    limits: Limits
    paused_s: float = 0.0


class RateLimits(Protocol):
    """Where the state of limits is kept; `sharers` is how many processes share them."""

    sharers: int

    async def ask(
        self, key: str, told: Limits, news: Sequence[News], amounts: Amounts | None
    ) -> Answer:
        """Take the news, and book a place for a call of these amounts, if any are given."""
        ...

    async def aclose(self) -> None: ...


def per_minute(requests: int | None, tokens: int | None) -> dict[Unit, Limit]:
    """The limits that staff have told."""
    found: dict[Unit, int | None] = {"requests": requests, "tokens": tokens}
    return {
        unit: Limit(limit / 60, max(limit / 60 * BURST_S, 1.0))
        for unit, limit in found.items()
        if limit
    }


def key_of(provider: str, model: str) -> str:
    """The name of a state, which tells nobody the provider or the model."""
    digest = hashlib.sha256(f"{provider}\n{model}".encode()).hexdigest()
    return f"threephase:limits:{digest[:32]}"


def limits_at(url: str) -> RateLimits:
    """Limits in the Redis at a URL as Celery writes it, or in this process if there is none."""
    scheme, _, rest = url.partition("://")
    if scheme in {"redis+socket", "unix"}:
        # The embedded broker, which need not run.
        path = rest.partition("?")[0]
        return RedisLimits(f"unix://{rest}") if Path(path).exists() else LocalLimits()
    return RedisLimits(url) if scheme in {"redis", "rediss"} else LocalLimits()


class LocalLimits:
    """The limits of this process, which is one of `sharers`: each has an equal share."""

    _lock = threading.Lock()
    _paces: ClassVar[dict[str, Pace]] = {}

    def __init__(self) -> None:
        self.sharers = 1

    async def ask(
        self, key: str, told: Limits, news: Sequence[News], amounts: Amounts | None
    ) -> Answer:
        now = time.monotonic()
        mine = {unit: _share(limit, self.sharers) for unit, limit in told.items()}
        with self._lock:
            pace = self._paces.setdefault(key, Pace())
            return apply(pace, mine, news, amounts, now)

    async def aclose(self) -> None:
        """Nothing is open."""


def _share(limit: Limit, sharers: int) -> Limit:
    return Limit(limit.rate / sharers, max(limit.burst / sharers, 1.0))


def apply(
    pace: Pace, told: Limits, news: Sequence[News], amounts: Amounts | None, now: float
) -> Answer:
    """What the script does, on a state of ours."""
    for operation, *arguments in news:
        _OPERATIONS[str(operation)](pace, told, now, arguments)
    slot = Slot(0.0, booked=False, epoch=pace.epoch)
    if amounts is not None:
        slot = pace.reserve(amounts, told, now)
    return Answer(slot, pace.limits(told, now), max(pace.paused_until - now, 0.0))


def _sent(pace: Pace, told: Limits, now: float, news: list[Any]) -> None:
    pace.sent({news[0]: news[1]}, told, now)


def _give_back(pace: Pace, told: Limits, now: float, news: list[Any]) -> None:
    unit, amount, epoch = news
    pace.give_back(unit, amount, told, now, epoch=epoch)


def _replied(pace: Pace, _told: Limits, _now: float, news: list[Any]) -> None:
    pace.replied(news[0])


def _refused(pace: Pace, told: Limits, now: float, news: list[Any]) -> None:
    unit, amount, epoch, pause_s = news
    pace.refused(unit, amount, told, now, epoch=epoch, pause_s=pause_s)


def _announce(pace: Pace, told: Limits, now: float, news: list[Any]) -> None:
    unit, rate, burst, left = news
    pace.announce(unit, Limit(rate, burst), told, left, now)


_OPERATIONS = {
    "sent": _sent,
    "give_back": _give_back,
    "replied": _replied,
    "refused": _refused,
    "announce": _announce,
}


@dataclass
class RedisLimits:
    """The limits in Redis; while it is away, this process has its share of what was last known.

    Made and closed inside one event loop.
    """

    url: str
    local: LocalLimits = field(default_factory=LocalLimits)
    _known: dict[str, Limits] = field(default_factory=dict)
    _away_until: float = 0.0

    def __post_init__(self) -> None:
        self._client = redis.asyncio.Redis.from_url(
            self.url,
            socket_timeout=REDIS_PATIENCE_S,
            socket_connect_timeout=REDIS_PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = self._client.register_script(SCRIPT)

    @property
    def sharers(self) -> int:
        return self.local.sharers

    @sharers.setter
    def sharers(self, sharers: int) -> None:
        self.local.sharers = sharers

    async def ask(
        self, key: str, told: Limits, news: Sequence[News], amounts: Amounts | None
    ) -> Answer:
        if time.monotonic() >= self._away_until:
            try:
                answer = await self._ask_redis(key, told, news, amounts)
            except UNREACHABLE as error:
                self._away_until = time.monotonic() + REDIS_PAUSE_S
                logger.warning("Rate limits: Redis is away, keeping to a share: %s", error)
            else:
                self._known[key] = answer.limits
                return answer
        last_known = {**self._known.get(key, {}), **told}
        return await self.local.ask(key, last_known, news, amounts)

    async def aclose(self) -> None:
        with suppress(*UNREACHABLE):
            await self._client.aclose()

    async def _ask_redis(
        self, key: str, told: Limits, news: Sequence[News], amounts: Amounts | None
    ) -> Answer:
        asked = {
            "told": {unit: [limit.rate, limit.burst] for unit, limit in told.items()},
            "news": news,
            "reserve": amounts,
        }
        async with asyncio.timeout(REDIS_PATIENCE_S):
            return answer_of(await self._script(keys=[key], args=[json.dumps(asked)]))


def answer_of(raw: bytes) -> Answer:
    """What the script returned."""
    told = json.loads(raw)
    limits = told["limits"] or {}
    return Answer(
        slot=Slot(told["wait"], booked=told["booked"], epoch=told["epoch"], free=told["free"]),
        limits={unit: Limit(*limits[unit]) for unit in UNITS if unit in limits},
        paused_s=told["paused"],
    )
