"""The provider's rate limits: buckets and fixed windows, and their headers."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """A bucket that refills at `rate` per second up to `size`; times are from one monotonic clock.

    `unit` is the counted unit, as in the names of the headers. `announced` is the size in the
    headers, if it differs from the real one; 0 means the real size.
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
        """Take the amount, even if it is not available."""
        self._refill(now)
        self.tokens -= amount

    def headers(self, now: float) -> dict[str, str]:
        """Return OpenAI's headers: the size of the bucket, and the time until it is full."""
        self._refill(now)
        lacking = self.size - self.tokens
        limit = self.announced or self.size
        return limit_headers(self.unit, limit, limit - lacking, lacking / self.rate)

    def _refill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.seen_at) * self.rate)
        self.seen_at = now


@dataclass(slots=True)
class FixedWindow:
    """A limit for each window of `period_s`; the next window begins when the last one ends."""

    unit: str
    limit: int
    period_s: float
    ends_at: float
    taken: float = 0.0

    def wait_for(self, amount: float, now: float) -> float:
        """Return the seconds until the amount may be taken: 0, or until the window ends."""
        self._roll(now)
        fits = self.taken + min(amount, self.limit) <= self.limit
        return 0.0 if fits else self.ends_at - now

    def take(self, amount: float, now: float) -> None:
        """Take the amount, even if it is not available."""
        self._roll(now)
        self.taken += amount

    def headers(self, now: float) -> dict[str, str]:
        """Return OpenAI's headers; the reset is always the time to the end of the window."""
        self._roll(now)
        return limit_headers(self.unit, self.limit, self.limit - self.taken, self.ends_at - now)

    def _roll(self, now: float) -> None:
        if now >= self.ends_at:
            self.ends_at += self.period_s * math.ceil((now - self.ends_at + 1e-9) / self.period_s)
            self.taken = 0.0


RateLimit = Bucket | FixedWindow


def limit_headers(unit: str, limit: int, remaining: float, reset_s: float) -> dict[str, str]:
    """Return the headers that OpenAI sends for a unit."""
    return {
        f"x-ratelimit-limit-{unit}": str(limit),
        f"x-ratelimit-remaining-{unit}": str(max(0, int(remaining))),
        f"x-ratelimit-reset-{unit}": as_duration(reset_s),
    }


def retry_headers(seconds: float) -> dict[str, str]:
    """Return Retry-After in whole seconds, as in HTTP, and OpenAI's exact retry-after-ms."""
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def as_duration(seconds: float) -> str:
    """Return a duration in OpenAI's format: 20ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
