"""One unit of a provider's limits: the known limit, and when the next amount may be taken.

A limit is a bucket or a fixed window. A bucket refills with time and is stored as the time at which
it will be full again (GCRA). A fixed window is an allowance until a moment; then a new window
begins.

Between two refusals at an empty bucket, the accepted amount equals the refilled amount: that is the
rate of the bucket, for any size.
"""

from dataclasses import dataclass
from math import ceil, exp

from batches.engine.rates.pace_rules import RULES, Bucket, Limit, Window

_LEAST_SPAN_S = 1e-3


@dataclass(slots=True)
class Meter:
    """The state of one unit. Times are in seconds on the caller's clock; calls are numbered in the
    order of booking.

    `rate` and `burst` are advertised; with a `period` they belong to a fixed window that has
    `left`. The bucket is full at `resets_at`, if no more than `taken` has been taken until then.
    `size` is the largest amount that the bucket has proved to hold. `counted` was accepted since
    `since`, from calls after `counted_from`. Amounts taken by calls up to `emptied` are not given
    back.
    """

    since: float = 0.0
    counted: float = 0.0
    counted_from: int = 0
    full_at: float = 0.0
    emptied: int = 0
    rate: float = 0.0
    burst: float = 0.0
    resets_at: float = 0.0
    taken: float = 0.0
    period: float = 0.0
    left: float = 0.0
    size: float = 0.0
    limited: bool = False
    learned: float = 0.0
    learned_at: float = 0.0
    proven: bool = False
    odd: int = 0
    flow: float = 0.0
    flow_at: float = 0.0

    # -- what is in force

    def limit(self, configured: Limit | None, now: float) -> Limit | None:
        """Return the bucket that applies now."""
        known = self._known(configured)
        learned = self.learned_rate(now)
        if learned and (known is None or learned < known.rate):
            known = Limit(learned, min(known.burst, learned) if known else learned, "learned")
        if known is None or not self.size:
            return known
        return Limit(known.rate, min(known.burst, self.size), known.source)

    def in_force(self, configured: Limit | None, now: float) -> Limit | None:
        """Return the limit that applies now; it may be a fixed window."""
        held = self.limit(configured, now)
        if self.period and configured is None:
            window = Limit(self.burst / self.period, self.burst, "advertised")
            return held if held and held.rate < window.rate else window
        return held

    def learned_rate(self, now: float) -> float:
        """Return the learned rate; 0 if no rate was learned, or it is forgotten."""
        return self.learned * RULES.grown(now - self.learned_at, proven=self.proven)

    def reset_in(self, now: float) -> float:
        """Return the time to the advertised reset; 0 if there is none in the future."""
        return max(self.resets_at - now, 0.0)

    def _known(self, configured: Limit | None) -> Limit | None:
        if configured or not self.rate or self.period:
            return configured
        return Limit(self.rate, self.burst, "advertised")

    # -- taking

    def wait_for(self, amount: float, limit: Limit | None, now: float) -> float:
        """Return the time until the bucket holds the amount, or is full if it never can."""
        if limit is None:
            return 0.0
        if self.rate and limit.source == "advertised" and now >= self.resets_at:
            # According to the provider the bucket is full now.
            self.full_at = min(self.full_at, self.resets_at + self.taken / self.rate)
        need = min(amount, limit.burst)
        return max(max(self.full_at, now) - (limit.burst - need) / limit.rate - now, 0.0)

    def too_far(self, due_s: float, limit: Limit | None, now: float) -> float:
        """Return the wait before asking again, if a place is too far ahead to be booked; else 0.

        A learned rate may be more accurate later, and an advertised limit is valid only until its
        reset.
        """
        source = limit.source if limit else "configured"
        if source == "advertised" and due_s > self.reset_in(now):
            return self.reset_in(now)
        if source == "learned" and due_s > RULES.farthest_s:
            return min(due_s - RULES.farthest_s, RULES.farthest_s)
        return 0.0

    def window_wait(self, amount: float, newest: int, now: float) -> float:
        """Return the time until the fixed window has room for the amount; 0 without a window."""
        if self.period and now >= self.resets_at:
            self.left, self.emptied = self.burst, newest
            self.resets_at += self.period * ceil((now - self.resets_at + 1e-6) / self.period)
        fits = not self.period or self.left >= min(amount, self.burst)
        return 0.0 if fits else self.resets_at - now

    def take(self, amount: float, limit: Limit | None, now: float) -> None:
        """Take the amount, even if it is not available."""
        self.counted += amount
        self.taken += amount
        self.left -= amount
        self._flow(amount, now)
        if limit is not None:
            self.full_at = max(self.full_at, now) + amount / limit.rate

    def give_back(self, amount: float, limit: Limit | None, call: int, now: float) -> None:
        """Return the amount that a call has taken and not used."""
        self._uncount(amount, call, now)
        if call > self.emptied or amount < 0:
            self.left = min(self.left + amount, self.burst)
            if limit is not None:
                self.full_at = max(self.full_at, now) - amount / limit.rate

    # -- what the provider says

    def advertise(self, bucket: Bucket, configured: Limit | None, now: float) -> None:
        """Apply an advertised bucket."""
        limit = bucket.limit
        if self.period and not bucket.sure:
            # The limit may still be a fixed window, which then ends at this reset.
            self.resets_at = now + bucket.reset_s
            return
        if not self.rate or self.period:
            # Earlier calls count against this bucket too; learned values are dropped.
            sent_until = self.since + self.counted / limit.rate
            self.full_at = max(self.full_at, sent_until) if configured else sent_until
            self._forget()
        self.rate, self.burst, self.period = limit.rate, limit.burst, 0.0
        held = self.limit(None, now) or limit
        self._lower(min(bucket.left, held.burst), held, now)
        self.resets_at, self.taken = now + bucket.reset_s, self._ahead(held, now)

    def advertise_window(self, window: Window, now: float) -> None:
        """Apply an advertised fixed window."""
        ends_at = now + window.ends_in_s
        if not self.period:
            if not self.rate:
                self._forget()
            recent = self.counted if now - self.since < window.period_s else 0.0
            self.left = min(window.left, window.limit - recent)
        elif abs(ends_at - self.resets_at) < window.period_s / 2:
            self.left = min(self.left, window.left)
        else:
            self.left = window.left
        self.rate, self.burst = window.limit / window.period_s, window.limit
        self.period, self.resets_at = window.period_s, ends_at

    # -- what refusals show

    def refused(self, amount: float, call: int, now: float) -> None:
        """Remove a refused call from the accepted amount."""
        self._uncount(amount, call, now)

    def blame(self, amount: float, configured: Limit | None, newest: int, now: float) -> None:
        """Apply repeated refusals: the bucket is empty, and smaller than assumed."""
        held, known = self.limit(configured, now), self._known(configured)
        if held is not None:
            drawn = held.burst - self._level(held, now)
            self.size = max(min(held.burst, drawn), amount)
        self.odd = 0
        if self.limited:
            self._measure(amount, known, held, newest, now, blamed=True)
        else:
            if known is None:
                self._learn(max(self.flow_rate(now), amount / 2), now, proven=False)
            self._begin(amount, held, newest, now)
        self.limited = True
        self._empty(configured, newest, now)

    def correct(self, amount: float, configured: Limit | None, newest: int, now: float) -> bool:
        """Apply a refusal that the known limit explains; return False if the limit does not.

        The bucket is then empty. If it limits the calls, its rate is measured again.
        """
        held = self.limit(configured, now)
        if held is None or self._level(held, now) > max(2 * amount, held.burst / 10):
            return False
        if self.limited:
            known = self._known(configured)
            self._measure(amount, known, held, newest, now, blamed=False)
        self._empty(configured, newest, now)
        return True

    def pause(self, pause_s: float, newest: int, now: float) -> None:
        """Start growth and measuring again at the end of a pause."""
        self.learned_at += pause_s
        if pause_s > RULES.recent_s:
            self.since, self.counted, self.counted_from = now + pause_s, 0.0, newest

    def flow_rate(self, now: float) -> float:
        """Return the amount accepted per second in the last moments."""
        return self.flow * exp(min(self.flow_at - now, 0.0) / RULES.recent_s) / RULES.recent_s

    def _measure(
        self,
        amount: float,
        known: Limit | None,
        held: Limit | None,
        newest: int,
        now: float,
        *,
        blamed: bool,
    ) -> None:
        """Learn the rate from the amount accepted since the bucket was last empty."""
        span = max(now - self.since, _LEAST_SPAN_S)
        let_in = self.counted - (self._ahead(held, now) if held else 0.0)
        if let_in < RULES.least_calls * amount:
            if blamed or not self.proven:
                guess = (max(let_in, 0.0) + amount) / span
                self._learn(min(self.learned or guess, guess), now, proven=False)
            return
        measured = let_in / span
        lately = self.flow_rate(now)
        rose = span > 3 * RULES.recent_s and self.learned_at - self.since < RULES.recent_s
        if rose and lately > measured * (1 + RULES.chance_share):
            # The pace has risen steadily, and its last value was still accepted.
            measured = lately
        rate = held.rate if held else measured
        if self._is_odd(let_in / amount, measured / rate, rate / amount):
            self._forget()
        elif known is None or self.learned or measured < RULES.believed * known.rate:
            self._learn(min(rate, measured), now, proven=True)
        self._begin(amount, held, newest, now)

    def _is_odd(self, calls: float, share: float, calls_per_second: float) -> bool:
        """Return True if refusals keep coming earlier than a limit of this rate would explain."""
        expected = RULES.calls_between_refusals(calls_per_second)
        early = self.proven and calls < expected / 2 and share > 1 - 2 * RULES.chance_share
        self.odd = self.odd + 1 if early else 0
        return self.odd >= RULES.odd_refusals

    def _learn(self, rate: float, now: float, *, proven: bool) -> None:
        self.learned, self.learned_at, self.proven = rate, now, proven

    def _forget(self) -> None:
        self.learned, self.size, self.limited, self.odd = 0.0, 0.0, False, 0

    def _begin(self, amount: float, held: Limit | None, newest: int, now: float) -> None:
        """Start to count the accepted amount; it includes the amount that is booked ahead."""
        ahead = self._ahead(held, now) if held else 0.0
        self.since, self.counted = now, ahead
        self.counted_from = newest - round(ahead / amount)

    def _ahead(self, limit: Limit, now: float) -> float:
        """Return the amount that is booked for a later time."""
        return max(-self._level(limit, now), 0.0)

    def _empty(self, configured: Limit | None, newest: int, now: float) -> None:
        self.emptied = newest
        held = self.limit(configured, now)
        if held is not None:
            self._lower(0.0, held, now)

    def _level(self, limit: Limit, now: float) -> float:
        return limit.burst - (max(self.full_at, now) - now) * limit.rate

    def _lower(self, level: float, limit: Limit, now: float) -> None:
        self.full_at = max(self.full_at, now + (limit.burst - level) / limit.rate)

    def _uncount(self, amount: float, call: int, now: float) -> None:
        if call > self.counted_from:
            self.counted -= amount
        self._flow(-amount, now)

    def _flow(self, amount: float, now: float) -> None:
        self.flow = max(self.flow_rate(now) * RULES.recent_s + amount, 0.0)
        self.flow_at = now
