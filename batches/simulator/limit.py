"""The provider's rate limit: a token bucket, and the headers that tell of it."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Refills at `rate` calls per second up to `size`; times are those of one monotonic clock."""

    rate: float
    size: int
    tokens: float
    seen_at: float

    def take(self, now: float) -> float:
        """Lets a call in and returns 0, or returns the seconds until one would be let in."""
        self.tokens = min(self.size, self.tokens + (now - self.seen_at) * self.rate)
        self.seen_at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate

    def headers(self) -> dict[str, str]:
        """OpenAI's headers: the limit is the size of the bucket, the reset when it is full."""
        return {
            "x-ratelimit-limit-requests": str(self.size),
            "x-ratelimit-remaining-requests": str(int(self.tokens)),
            "x-ratelimit-reset-requests": as_duration((self.size - self.tokens) / self.rate),
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
