"""The provider's rate limits: token buckets, and the headers that tell of them."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """Refills at `rate` per second up to `size`; times are those of one monotonic clock.

    `unit` is what it counts, as the headers name it.
    """

    unit: str
    rate: float
    size: int
    tokens: float
    seen_at: float

    def wait_for(self, amount: float, now: float) -> float:
        """Seconds until so much may be taken; what is more than the bucket holds waits until it
        is full."""
        self._refill(now)
        return max(0.0, (min(amount, self.size) - self.tokens) / self.rate)

    def take(self, amount: float, now: float) -> None:
        """Take so much, even if it is not there."""
        self._refill(now)
        self.tokens -= amount

    def headers(self) -> dict[str, str]:
        """OpenAI's headers: the limit is the size of the bucket, the reset when it is full."""
        return {
            f"x-ratelimit-limit-{self.unit}": str(self.size),
            f"x-ratelimit-remaining-{self.unit}": str(max(0, int(self.tokens))),
            f"x-ratelimit-reset-{self.unit}": as_duration((self.size - self.tokens) / self.rate),
        }

    def _refill(self, now: float) -> None:
        self.tokens = min(self.size, self.tokens + (now - self.seen_at) * self.rate)
        self.seen_at = now


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
