"""Recognise the meaning of an advertised limit from its headers over time.

Providers use the same header names for two things. `reset` can be the time until a bucket is full
again, which grows with the missing amount. Or it can be the time to the end of a fixed window,
which counts down independently of use; then the full amount is available again. Each reading is
narrowed by every header, and loses trust when a header contradicts it; the reading with fewer
contradictions is used.
"""

import math
from dataclasses import dataclass, field

from batches.engine.rates.announced import Announced
from batches.engine.rates.pace_rules import Bucket, Limit, Window

# Share of the weight of old contradictions that is left after each header.
_MEMORY = 0.9
# Retry-After in whole seconds says nothing about shorter waits.
_ROUNDED_UP_S = 1.0


@dataclass
class _BucketReading:
    """Reading as a bucket: each header bounds the rate, since the reset refills the rest."""

    low: float = 0.0
    high: float = math.inf
    contradictions: float = 0.0

    @property
    def rate(self) -> float | None:
        if not math.isfinite(self.high):
            return None
        return (self.low + self.high) / 2 if self.low else self.high

    def narrow(self, seen: Announced) -> None:
        lacking = seen.limit - seen.remaining
        if lacking <= 0:
            return
        shortest = max(seen.reset_s - seen.grain_s, 1e-6)
        # A reset that was rounded down or to the nearest may be longer than the header says.
        longest = seen.reset_s + seen.grain_s / 2
        low, high = max(lacking - 1, 0.0) / longest, lacking / shortest
        self.contradictions *= _MEMORY
        if low > self.high or high < self.low:
            self.contradictions += 1
            self.low, self.high = low, high
        else:
            self.low, self.high = max(self.low, low), min(self.high, high)


@dataclass
class _WindowReading:
    """Reading as a fixed window: each header bounds the end of the window, since the header was
    written between sending and receiving."""

    low: float = -math.inf
    high: float = math.inf
    period_s: float = 0.0
    remaining: float = 0.0
    contradictions: float = 0.0

    def narrow(self, seen: Announced, sent_at: float, now: float) -> bool:
        """Apply a header; return False if it is from a window that has ended."""
        low, high = sent_at + seen.reset_s - seen.grain_s, now + seen.reset_s
        if high < self.low and sent_at < self.low - self.period_s:
            return False
        self.contradictions *= _MEMORY
        self.period_s = max(self.period_s, seen.reset_s)
        # Not every provider rounds up.
        slack = seen.grain_s / 2
        if low <= self.high + slack and high >= self.low - slack:
            self.low, self.high = max(self.low, low), min(self.high, high)
        else:
            ended = now >= self.low - slack and low > self.high
            goes_on = ended and seen.remaining >= self.remaining
            self.contradictions += not goes_on and math.isfinite(self.high)
            self.low, self.high = low, high
        self.remaining = seen.remaining
        return True

    def read(self, seen: Announced, now: float) -> Window:
        ends_in_s = max(self.high - now, 0.0)
        return Window(seen.limit, seen.remaining, ends_in_s, max(self.period_s, 1e-3))


@dataclass
class LimitReader:
    """Reads the headers of one model and unit."""

    _bucket: _BucketReading = field(default_factory=_BucketReading)
    _window: _WindowReading = field(default_factory=_WindowReading)
    _limit: float = 0.0

    def observe(
        self, seen: Announced, *, sent_at: float, now: float, retry_after_s: float = 0.0
    ) -> Bucket | Window | None:
        """Return the limit, if known, after the headers of the reply to a call sent at `sent_at`.

        `retry_after_s` is the Retry-After of a refusal.
        """
        if seen.limit != self._limit:
            self._bucket, self._window = _BucketReading(), _WindowReading()
            self._limit = seen.limit
        self._bucket.narrow(seen)
        if seen.remaining < 1 and retry_after_s > max(seen.reset_s - 1, _ROUNDED_UP_S):
            # A bucket would hold enough for the next call long before it is full.
            self._bucket.contradictions += 1
        current = self._window.narrow(seen, sent_at, now)
        if self._window.contradictions < self._bucket.contradictions:
            return self._window.read(seen, now) if current else None
        rate = self._bucket.rate
        if rate is None:
            return None
        left = seen.remaining + 1 + rate * (now - sent_at)
        sure = self._window.contradictions > self._bucket.contradictions
        return Bucket(Limit(rate, seen.limit, "advertised"), left, seen.reset_s, sure)
