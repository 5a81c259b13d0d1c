"""How fast calls may go to one model of a provider. Pure: the caller brings the clock.

A provider's limit is a bucket: a call takes from it, time refills it. Here it is kept as a single
time for each unit, at which the bucket will be full again (GCRA). What its size and rate are was
told by staff, or announced in the headers of replies, or is learned from refusals.

Between two refusals the bucket was empty twice, so what was let in between them is what was
refilled: that is the rate, however large the bucket is. From there the pace rises, slowly at
first and then ever faster, until the next refusal.

`batches/rate_limits.lua` holds the same rules for all workers together; the tests compare them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["requests", "tokens"]
UNITS: tuple[Unit, ...] = ("requests", "tokens")

# Calls to a provider of which nothing is known yet: so many at once, more for each answer, and a
# few each second, since whoever made the first ones may be gone.
FIRST_CALLS = 50
CALLS_PER_REPLY = 3
CALLS_PER_SECOND = 250
# After so many answers without a limit none is expected.
REPLIES_TO_BE_FREE = 500
LOOK_AGAIN_S = 0.01
# Where the limit is a guess, no place is booked further ahead: the guess may be better by then.
FARTHEST_S = 5.0
# The first guess allows so many calls a second of the size that was refused, or more.
LEAST_RATE = 0.5

# The pace is cut once in this time at most, and by this much at most.
LEAST_SPAN_S = 0.5
CUT = 0.5
# A rate is measured by so many calls of the size that was refused: the bucket need not have been
# empty, only emptier than that.
LEAST_CALLS = 4
# When fewer calls than these go well between two refusals, so often in a row, the refusals may have
# nothing to do with the pace. Then it rises freely for a while, and refusals only make pauses.
FEW_CALLS, MOST_ODD, FREE_S = 30, 5, 60.0
# If then so many calls are refused, and so large a share, it was the pace after all; and it takes
# that many more refusals to doubt it again.
ENOUGH, TOO_MANY, RELAPSE = 10, 0.3, 50
# How a learned rate rises with the seconds since the last refusal: before the first measurement,
# and after it.
EARLY_GROWTH = 1.5
GROWTH, FAST_GROWTH = 0.01, 1e-4
# A learned rate that has risen so far is forgotten.
FORGOTTEN = 20.0
# A limit that was told or announced is only believed to be lower when this much was measured.
BELIED = 0.9
# A refusal with so much of the bucket left tells that the bucket is smaller.
SURPRISE = 0.1
LEAST_SHRINK = 1 / 64


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket of a provider: refilled by `rate` a second, up to `burst`."""

    rate: float
    burst: float


@dataclass(frozen=True, slots=True)
class Slot:
    """When a call may be made: in `wait_s`; if not `booked`, ask again then.

    `epoch` counts the refusals that led to a slower pace; a refused call brings it back. `free`
    says that nothing limits the calls, so that nobody need ask for a while.
    """

    wait_s: float
    booked: bool
    epoch: int
    free: bool = False


@dataclass(slots=True)
class _Bucket:
    """The state of one unit. Times in seconds on the caller's clock.

    Calls of the epochs since `counted_from` are `counted`. What was reserved in an epoch before
    `emptied_in` was taken from a bucket that has been found empty since.
    """

    full_at: float = 0.0
    announced: Limit | None = None
    shrink: float = 1.0
    learned: float = 0.0
    proven: bool = False
    cut_at: float = 0.0
    since: float = 0.0
    counted: float = 0.0
    counted_from: int = 0
    emptied_in: int = 0
    odd: int = 0
    free_until: float = 0.0
    misses: int = 0

    def limit(self, told: Limit | None, now: float) -> Limit | None:
        """The limit that holds now."""
        found = told or self.announced
        learned = self._learned_rate(now)
        if learned and (found is None or learned < found.rate):
            found = Limit(learned, found.burst * learned / found.rate if found else learned)
        if found is None:
            return None
        return Limit(found.rate, max(found.burst * self.shrink, min(found.burst, 1.0)))

    def wait_for(self, amount: float, limit: Limit, now: float) -> float:
        """Until when the bucket holds so much, or is full if it never can."""
        need = min(amount, limit.burst)
        return max(self.full_at, now) - (limit.burst - need) / limit.rate - now

    def take(self, amount: float, limit: Limit | None, now: float) -> None:
        self.counted += amount
        if limit is not None:
            self.full_at = max(self.full_at, now) + amount / limit.rate

    def lower(self, level: float, limit: Limit, now: float) -> None:
        """Hold no more than so much."""
        self.full_at = max(self.full_at, now + (limit.burst - level) / limit.rate)

    def level(self, limit: Limit, now: float) -> float:
        return limit.burst - (max(self.full_at, now) - now) * limit.rate

    def announce(self, limit: Limit, told: Limit | None, left: float, now: float) -> None:
        if self.announced is None:
            # What was sent before anything was known has been taken from the bucket too, and what
            # was learned until now are guesses, like what was booked by them.
            sent_until = self.since + self.counted / limit.rate
            self.full_at = max(self.full_at, sent_until) if told else sent_until
            self.learned, self.shrink = 0.0, 1.0
        self.announced = limit
        self.lower(min(left, limit.burst), self.limit(None, now) or limit, now)

    def give_back(self, amount: float, limit: Limit | None, epoch: int, now: float) -> None:
        """Put back what a call of that epoch had taken, and did not use."""
        if epoch >= self.counted_from:
            self.counted -= amount
        if limit is not None and epoch >= self.emptied_in:
            self.full_at = max(self.full_at, now) - amount / limit.rate

    def refuse(
        self, amount: float, told: Limit | None, epoch: int, now: float, pause_s: float
    ) -> None:
        """Slow down after the first refusal of an epoch; begin the next after the pause."""
        limit = self.limit(told, now)
        self.emptied_in = epoch + 1
        if epoch >= self.counted_from:
            self.counted -= amount
        known = told or self.announced
        if limit and self.level(limit, now) > max(1.0, SURPRISE * limit.burst):
            self.shrink = max(self.shrink / 2, LEAST_SHRINK)
        if known is None:
            self._learn(limit, amount, now, pause_s)
        else:
            self._doubt(known, amount, now, pause_s)
        limit = self.limit(told, now)
        if limit is not None:
            self.lower(0.0, limit, now + pause_s)

    def _learned_rate(self, now: float) -> float:
        if not self.learned:
            return 0.0
        passed = max(now - self.cut_at, 0.0)
        if self.proven:
            growth = 1 + GROWTH * passed + FAST_GROWTH * passed**3
        else:
            growth = EARLY_GROWTH ** min(passed, 60.0)
        return self.learned * growth if growth < FORGOTTEN else 0.0

    def _learn(self, limit: Limit | None, amount: float, now: float, pause_s: float) -> None:
        if now < self.free_until:
            self._miss(amount)
            return
        if limit is None:
            measured = self.counted / max(now - self.since, 1.0)
            self.learned = max(CUT * measured, LEAST_RATE * amount)
            self.proven = False
            # What was booked by an earlier guess is as forgotten as that.
            self.full_at = now
            self._begin(now)
        elif now - self.cut_at >= LEAST_SPAN_S:
            # Measured is what got through: never more than the rate, less if it was not used up.
            measured = self.counted / max(now - self.since, LEAST_SPAN_S)
            self.learned = min(limit.rate, max(measured, CUT * limit.rate))
            if self.counted >= LEAST_CALLS * amount:
                self.proven = not self._is_free(self.counted / amount, now)
                self._begin(now)
        else:
            self._pass(amount, pause_s)
            return
        # The pace rises again when the pause is over.
        self.cut_at = now + pause_s
        self._pass(amount, pause_s)

    def _is_free(self, calls: float, now: float) -> bool:
        """Whether refusals come so often, this one after so many calls, that the pace is freed."""
        self.odd = self.odd + 1 if calls < FEW_CALLS else 0
        if self.odd < MOST_ODD:
            return False
        self.odd, self.misses, self.free_until = 0, 0, now + FREE_S
        return True

    def refuse_late(self, amount: float, epoch: int, now: float) -> None:
        """Take note of a refusal of a call that was sent before the last one was heeded."""
        if epoch >= self.counted_from:
            self.counted -= amount
        if now < self.free_until:
            self._miss(amount)

    def _miss(self, amount: float) -> None:
        self.misses += 1
        if self.misses >= ENOUGH and self.misses > TOO_MANY * self.counted / amount:
            self.free_until, self.odd = 0.0, -RELAPSE

    def _pass(self, amount: float, pause_s: float) -> None:
        """Take a pause out of what is measured: when it ends there is enough for one such call."""
        if pause_s:
            self.since += pause_s
            self.counted -= amount

    def _doubt(self, known: Limit, amount: float, now: float, pause_s: float) -> None:
        span = now - self.since
        long_enough = span >= known.burst / known.rate + LEAST_SPAN_S
        if long_enough and self.counted >= LEAST_CALLS * amount:
            measured = self.counted / span
            if measured < BELIED * known.rate:
                self.learned = max(
                    measured, CUT * min(self._learned_rate(now) or known.rate, known.rate)
                )
                self.proven, self.cut_at = True, now + pause_s
            self._begin(now)
        self._pass(amount, pause_s)

    def _begin(self, now: float) -> None:
        self.since, self.counted, self.counted_from = now, 0.0, self.emptied_in


@dataclass(slots=True)
class Pace:
    """What is known of the limits of one model of a provider, and when the next call may go."""

    epoch: int = 0
    replies: int = 0
    paused_until: float = 0.0
    buckets: dict[Unit, _Bucket] = field(default_factory=dict)

    def reserve(
        self,
        amounts: Mapping[Unit, float],
        told: Mapping[Unit, Limit],
        now: float,
    ) -> Slot:
        """Book the next place for a call of these amounts."""
        limits = {unit: self._bucket(unit, now).limit(told.get(unit), now) for unit in UNITS}
        if self.paused_until > now:
            return Slot(self.paused_until - now, booked=False, epoch=self.epoch)
        unlimited = not any(limits.values())
        if unlimited and self._is_new(now):
            return Slot(LOOK_AGAIN_S, booked=False, epoch=self.epoch)
        wait = guessed = 0.0
        for unit, limit in limits.items():
            if limit is None:
                continue
            bucket = self.buckets[unit]
            due = bucket.wait_for(amounts.get(unit, 0.0), limit, now)
            wait = max(wait, due)
            if bucket.announced is None and unit not in told:
                guessed = max(guessed, due)
        if guessed > FARTHEST_S:
            return Slot(min(guessed - FARTHEST_S, FARTHEST_S), booked=False, epoch=self.epoch)
        for unit, limit in limits.items():
            self.buckets[unit].take(amounts.get(unit, 0.0), limit, now)
        free = unlimited and self.replies >= REPLIES_TO_BE_FREE
        return Slot(wait, booked=True, epoch=self.epoch, free=free)

    def sent(self, amounts: Mapping[Unit, float], told: Mapping[Unit, Limit], now: float) -> None:
        """Count what was sent without asking."""
        for unit, amount in amounts.items():
            bucket = self._bucket(unit, now)
            bucket.take(amount, bucket.limit(told.get(unit), now), now)

    def give_back(
        self, unit: Unit, amount: float, told: Mapping[Unit, Limit], now: float, *, epoch: int
    ) -> None:
        """Put back what was reserved and not used; below zero, take what was used beyond it."""
        bucket = self._bucket(unit, now)
        bucket.give_back(amount, bucket.limit(told.get(unit), now), epoch, now)

    def replied(self, count: int) -> None:
        """Count calls that were let in."""
        self.replies += count

    def refused(
        self,
        unit: Unit,
        amount: float,
        told: Mapping[Unit, Limit],
        now: float,
        *,
        epoch: int,
        pause_s: float,
    ) -> None:
        """Heed a 429. One that was sent before the last one was heeded tells nothing new."""
        self.paused_until = max(self.paused_until, now + pause_s)
        if epoch != self.epoch:
            self._bucket(unit, now).refuse_late(amount, epoch, now)
            return
        self._bucket(unit, now).refuse(amount, told.get(unit), epoch, now, pause_s)
        self.epoch += 1

    def announce(
        self, unit: Unit, limit: Limit, told: Mapping[Unit, Limit], left: float, now: float
    ) -> None:
        """Take the limit that the provider announces, of which so much is left at most."""
        self._bucket(unit, now).announce(limit, told.get(unit), left, now)

    def limits(self, told: Mapping[Unit, Limit], now: float) -> dict[Unit, Limit]:
        """The limits that hold now."""
        found = ((unit, self._bucket(unit, now).limit(told.get(unit), now)) for unit in UNITS)
        return {unit: limit for unit, limit in found if limit is not None}

    def _bucket(self, unit: Unit, now: float) -> _Bucket:
        for each in UNITS:
            self.buckets.setdefault(each, _Bucket(since=now))
        return self.buckets[unit]

    def _is_new(self, now: float) -> bool:
        if self.replies >= REPLIES_TO_BE_FREE:
            return False
        bucket = self.buckets["requests"]
        earned = CALLS_PER_REPLY * self.replies + CALLS_PER_SECOND * (now - bucket.since)
        return bucket.counted >= FIRST_CALLS + earned
