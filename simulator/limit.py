"""The provider's rate limits: buckets and fixed windows, and the headers that tell of them."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Refills at `rate` per second up to `size`; times are those of one monotonic clock.

    `unit` is what it counts, as the headers name it. `announced` is the size that the headers
    name instead of the real one; 0 is the real one.
    """

    unit: str
    rate: float
    size: int
    tokens: float
    seen_at: float
    announced: int = 0

    def wait_for(self, amount: float, now: float) -> float:
        """Return the seconds until the amount may be taken, at most until the bucket is full."""
        self._refill(now)
        return max(0.0, (min(amount, self.size) - self.tokens) / self.rate)

    def take(self, amount: float, now: float) -> None:
        """Take the amount, even if it is not there."""
        self._refill(now)
        self.tokens -= amount

    def headers(self, now: float) -> dict[str, str]:
        """OpenAI's headers: the limit is the size of the bucket, the reset when it is full."""
        self._refill(now)
        lacking = self.size - self.tokens
        limit = self.announced or self.size
        return limit_headers(self.unit, limit, limit - lacking, lacking / self.rate)

    def _refill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.seen_at) * self.rate)
        self.seen_at = now


@dataclass(slots=True)
class FixedWindow:
    """Allows `limit` in each window of `period_s`; the next begins when the last one ends."""

    unit: str
    limit: int
    period_s: float
    ends_at: float
    taken: float = 0.0

    def wait_for(self, amount: float, now: float) -> float:
        """Return the seconds until the amount may be taken: 0, or to the end of the window."""
        self._roll(now)
        fits = self.taken + min(amount, self.limit) <= self.limit
        return 0.0 if fits else self.ends_at - now

    def take(self, amount: float, now: float) -> None:
        """Take the amount, even if it is not there."""
        self._roll(now)
        self.taken += amount

    def headers(self, now: float) -> dict[str, str]:
        """The reset is the time to the end of the window, whatever was taken."""
        self._roll(now)
        return limit_headers(self.unit, self.limit, self.limit - self.taken, self.ends_at - now)

    def _roll(self, now: float) -> None:
        if now >= self.ends_at:
            self.ends_at += self.period_s * math.ceil((now - self.ends_at + 1e-9) / self.period_s)
            self.taken = 0.0


RateLimit = Bucket | FixedWindow


def limit_headers(unit: str, limit: int, remaining: float, reset_s: float) -> dict[str, str]:
    """The headers that OpenAI sends, by the unit that they count."""
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(max(0, int(remaining))),
        f"x-ratelimit-reset-{unit}": as_duration(reset_s),
    }


def retry_headers(seconds: float) -> dict[str, str]:
    """Retry-After in whole seconds, as HTTP wants it, and OpenAI's exact retry-after-ms."""
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def as_duration(seconds: float) -> str:
    """As OpenAI writes it: 20ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
