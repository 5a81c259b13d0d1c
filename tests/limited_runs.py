"""Whole runs against providers with limits, in virtual time: the real engine and limiter, any
number of runners that share one state, and a provider that counts what it lets in."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count, islice

from batches.engine.errors import ProviderError, RateLimited
from batches.engine.execute import Execution, ExecutionOptions
from batches.engine.rates.announced import announced_limits
from batches.engine.records import Exchange, PreparedRequest, Reply, Usage
from batches.limits.limiter import RateLimiter
from batches.limits.model_calls import CallTurn
from batches.limits.rate_limits import Admission, Amounts, Limits, LocalLimits, News, per_minute
from simulator.limit import RateLimit
from tests.engine.makers import reply, request
from tests.virtual_time import in_virtual_time

NETWORK_S = 0.004
REDIS_S = 0.001
CHUNK = 20

_providers = count()


@dataclass
class LimitedProvider:
    """Refuses what is beyond its limit, and `chance` of all calls besides.

    `changes` happen at their time. A call takes 1 of the limit, or its tokens if the unit is that.
    """

    limit: RateLimit | None = None
    announces: bool = False
    says_when: bool = True
    chance: float = 0.0
    chance_wait_s: float = 1.0
    latency_s: tuple[float, float] = (0.1, 0.5)
    changes: dict[float, Callable[["LimitedProvider"], None]] = field(default_factory=dict)
    calls: int = 0
    refused: int = 0
    admitted: float = 0.0
    last_at: float = 0.0
    draw: random.Random = field(default_factory=lambda: random.Random(11))

    async def send(self, request: PreparedRequest) -> Reply:
        """Answer or refuse a call."""
        await asyncio.sleep(NETWORK_S / 2)
        now = asyncio.get_running_loop().time()
        for moment in [moment for moment in self.changes if moment <= now]:
            self.changes.pop(moment)(self)
        self.calls += 1
        amount = len(request.content) / 4 if self._counts_tokens else 1.0
        refusal = self._refusal(amount, now)
        if refusal is None:
            self.admitted += amount
            self.last_at = now
            await asyncio.sleep(self.draw.uniform(*self.latency_s))
        await asyncio.sleep(NETWORK_S / 2)
        limits = announced_limits(self._headers())
        if refusal is not None:
            self.refused += 1
            refusal.limits = limits
            raise refusal
        return reply(usage=Usage(input_tokens=int(amount), output_tokens=0), limits=limits)

    @property
    def _counts_tokens(self) -> bool:
        return self.limit is not None and self.limit.unit == "tokens"

    def _refusal(self, amount: float, now: float) -> RateLimited | None:
        if self.draw.random() < self.chance:
            return RateLimited("no capacity", retry_after_s=self.chance_wait_s)
        wait_s = self.limit.wait_for(amount, now) if self.limit else 0.0
        if self.limit and not wait_s:
            self.limit.take(amount, now)
        if not wait_s:
            return None
        refusal = RateLimited("slow down", retry_after_s=wait_s if self.says_when else None)
        refusal.unit = "tokens" if self._counts_tokens else "requests"
        return refusal

    def _headers(self) -> dict[str, str]:
        if not self.limit or not self.announces:
            return {}
        return self.limit.headers(asyncio.get_running_loop().time())


class _SharedLimits(LocalLimits):
    """One state for all runners, a round trip away."""

    async def ask(
        self, key: str, told: Limits, news: Sequence[News], calls: Sequence[Amounts]
    ) -> Admission:
        await asyncio.sleep(REDIS_S / 2)
        answer = await super().ask(key, told, news, calls)
        await asyncio.sleep(REDIS_S / 2)
        return answer


class _VirtualLimiter(RateLimiter):
    """Measures latencies on the loop's clock."""

    def leave(self, turn: CallTurn, result: Reply | ProviderError, _latency_s: float) -> None:
        took_s = asyncio.get_running_loop().time() - turn.entered_at
        super().leave(turn, result, took_s)


@dataclass(frozen=True)
class Course:
    """How a run went."""

    span_s: float
    calls: int
    refused: float
    admitted: float
    last_at: float
    mean_in_flight: float


@dataclass
class Runs:
    """Batches that are run one after the other at the same provider."""

    provider: LimitedProvider
    runners: int = 1
    window: int = 100
    rpm: int | None = None
    tpm: int | None = None
    name: str = field(default_factory=lambda: f"provider {next(_providers)} in virtual time")
    limiters: list[RateLimiter] = field(default_factory=list)

    def run(self, *batches: int | Sequence[int], pause_s: float = 0.0) -> list[Course]:
        """Run batches of this many prompts, or of prompts of these many tokens."""
        return in_virtual_time(self._run_all(batches, pause_s))

    async def _run_all(
        self, batches: Sequence[int | Sequence[int]], pause_s: float
    ) -> list[Course]:
        courses = []
        for batch in batches:
            sizes = [10] * batch if isinstance(batch, int) else batch
            courses.append(await self._run(sizes))
            await asyncio.sleep(pause_s)
        return courses

    async def _run(self, sizes: Sequence[int]) -> Course:
        loop, provider = asyncio.get_running_loop(), self.provider
        before, refused, admitted = provider.calls, provider.refused, provider.admitted
        began = loop.time()
        todo = iter(
            [
                request(i, content=b"x" * 4 * size, max_output_tokens=0)
                for i, size in enumerate(sizes)
            ]
        )
        delivered: list[Exchange] = []
        await asyncio.gather(*(self._runner(todo, delivered) for _ in range(self.runners)))
        assert sorted(e.request.index for e in delivered) == list(range(len(sizes)))
        assert all(e.error is None for e in delivered)
        span_s, calls = loop.time() - began, provider.calls - before
        return Course(
            span_s,
            calls,
            (provider.refused - refused) / calls,
            provider.admitted - admitted,
            provider.last_at - began,
            len(sizes) * sum(provider.latency_s) / 2 / span_s,
        )

    async def _runner(self, todo: Iterator[PreparedRequest], delivered: list[Exchange]) -> None:
        async def deliver(exchange: Exchange) -> None:
            delivered.append(exchange)

        limiter = _VirtualLimiter(_SharedLimits(), provider=self.name, cap=self.window)
        limiter.keep_to(per_minute(self.rpm, self.tpm))
        self.limiters.append(limiter)
        options = ExecutionOptions(batch_size=self.window)
        async with limiter:
            execution = Execution(self.provider.send, deliver, options, limiter=limiter)
            await execution.run(_chunks(todo))


async def _chunks(todo: Iterator[PreparedRequest]) -> AsyncIterator[Sequence[PreparedRequest]]:
    while chunk := list(islice(todo, CHUNK)):
        yield chunk
