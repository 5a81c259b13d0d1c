"""The state of a running simulated provider."""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import count

from simulator.behaviour import Behaviour
from simulator.ledger import Ledger
from simulator.limit import Bucket, FixedWindow, RateLimit
from simulator.prefix_cache import PrefixCache


@dataclass(eq=False, slots=True)
class Hold:
    """Keeps back the answers to prompts with this text, except for the next `free` ones."""

    text: str
    free: int
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Simulator:
    """The options, which may be replaced at any time, the ledger, the rate limits, the holds."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.ledger = Ledger()
        self.holds: list[Hold] = []
        self.prefixes = PrefixCache()
        self._limits: dict[tuple[str, float, int, float, int], RateLimit] = {}
        self._request_numbers = count(1)

    def reset(self) -> None:
        """Start a new ledger with full limits and an empty cache.

        Calls still in flight count in the old ledger.
        """
        self.ledger = Ledger()
        self.prefixes = PrefixCache()
        self._limits = {}

    async def answerable(self, prompt: str) -> None:
        """Wait while a hold keeps back the answer to this prompt."""
        for hold in list(self.holds):
            if hold.text not in prompt:
                continue
            if hold.free:
                hold.free -= 1
            else:
                await hold.released.wait()

    def request_id(self) -> str:
        """Return a unique id for one request."""
        return f"req_{next(self._request_numbers):032x}"

    def limits(self) -> list[RateLimit]:
        """Return the current limits."""
        knobs = self.behaviour
        found = []
        if knobs.requests_per_second:
            size, announced = knobs.bucket_size, knobs.announced_requests
            found.append(self._limit("requests", knobs.requests_per_second, size, announced))
        if knobs.tokens_per_second:
            found.append(self._limit("tokens", knobs.tokens_per_second, knobs.token_bucket_size, 0))
        return found

    def limit_headers(self) -> dict[str, str]:
        """Return the headers that advertise the limits."""
        announced: dict[str, str] = {}
        if self.behaviour.announce_limits:
            for limit in self.limits():
                announced |= limit.headers(time.monotonic())
        return announced

    def _limit(self, unit: str, rate: float, size: int, announced: int) -> RateLimit:
        period_s = self.behaviour.window_seconds
        key = (unit, rate, size, period_s, announced)
        if key not in self._limits:
            now = time.monotonic()
            self._limits = {known: one for known, one in self._limits.items() if known[0] != unit}
            self._limits[key] = (
                FixedWindow(unit, max(1, round(rate * period_s)), period_s, now + period_s)
                if period_s
                else Bucket(unit, rate, size, size, now, announced)
            )
        return self._limits[key]
