"""The pace of calls to one model of a provider. Pure: the caller passes the time.

A limit is configured by staff, or advertised in the headers of replies, or learned from refusals.
A single refusal delays only its own prompt. Only when calls sent after it are refused as well
(`doubt.py`) do all calls wait: first for the time that the provider asks for, then at the pace that
the provider accepted (`meter.py`). `pace_rules.py` holds every number.

A pace is a small value that can be written as text, so that the same rules serve a single process
and a Redis that many processes share (`batches/limits/redis_limits.py`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter

from batches.engine.rates.doubt import Doubt
from batches.engine.rates.meter import Meter
from batches.engine.rates.pace_rules import RULES, UNITS, Bucket, Limit, Unit, Window

Limits = Mapping[Unit, Limit]
Amounts = Mapping[Unit, float]


@dataclass(frozen=True, slots=True)
class Reservation:
    """The time of a call: it may be made after `wait_s`. If not `booked`, ask again after `wait_s`.

    `call` is the number of the call, `reason` the reason for the wait.
    """

    wait_s: float
    booked: bool
    call: int
    reason: str = ""


@dataclass(slots=True)
class Pace:
    """The known limits of one model of a provider, and the time of the next call.

    `calls` numbers the bookings. Refusals of calls up to `acknowledged` are
    already taken into account.
    """

    next_at: float = 0.0
    calls: int = 0
    acknowledged: int = 0
    replies: int = 0
    paused_until: float = 0.0
    doubt: Doubt = field(default_factory=Doubt)
    requests: Meter = field(default_factory=Meter)
    tokens: Meter = field(default_factory=Meter)

    @classmethod
    def begun(cls, now: float) -> "Pace":
        """Return the pace of a provider whose limits are unknown."""
        return cls(requests=Meter(since=now), tokens=Meter(since=now))

    def dump(self) -> str:
        """Return the pace as text."""
        parts = (_OWN(self), _DOUBT(self.doubt), _METER(self.requests), _METER(self.tokens))
        return json.dumps(parts, separators=(",", ":"))

    @classmethod
    def load(cls, text: str) -> "Pace":
        """Return the pace in a text that `dump` has written."""
        own, doubt, requests, tokens = json.loads(text)
        pace = cls(*own)
        pace.doubt, pace.requests, pace.tokens = Doubt(*doubt), Meter(*requests), Meter(*tokens)
        return pace

    def meter(self, unit: Unit) -> Meter:
        return self.requests if unit == "requests" else self.tokens

    def reserve(self, amounts: Amounts, configured: Limits, now: float) -> Reservation:
        """Book the next place for a call of these amounts."""
        if self.paused_until > now:
            return self._later(self.paused_until - now, "the provider asked to wait")
        start_s = self._start_wait(configured, now)
        if start_s > 1 / RULES.calls_per_second:
            return self._later(start_s, "the provider is new")
        limits = {unit: self.meter(unit).limit(configured.get(unit), now) for unit in UNITS}
        wait_s, ask_in_s = start_s, 0.0
        for unit, limit in limits.items():
            meter, amount = self.meter(unit), amounts.get(unit, 0.0)
            if unit not in configured:
                ask_in_s = max(ask_in_s, meter.window_wait(amount, self.calls, now))
            due_s = meter.wait_for(amount, limit, now)
            wait_s = max(wait_s, due_s)
            ask_in_s = max(ask_in_s, meter.too_far(due_s, limit, now))
        if ask_in_s:
            return self._later(ask_in_s, "the rate limit resets")
        self.calls += 1
        earned = RULES.calls_per_second + RULES.calls_per_reply * self.replies
        self.next_at = max(self.next_at, now) + (1 / earned if self._is_new() else 0.0)
        for unit, limit in limits.items():
            self.meter(unit).take(amounts.get(unit, 0.0), limit, now)
        return Reservation(wait_s, booked=True, call=self.calls)

    def sent(self, calls: int, tokens: float, configured: Limits, now: float) -> None:
        """Count calls that were sent without a reservation."""
        self.calls += calls
        amounts: Amounts = {"requests": float(calls), "tokens": tokens}
        for unit, amount in amounts.items():
            meter = self.meter(unit)
            meter.take(amount, meter.limit(configured.get(unit), now), now)

    def give_back(
        self, unit: Unit, amount: float, configured: Limits, now: float, *, call: int
    ) -> None:
        """Return the unused part of a reserved amount; a negative amount is taken in addition."""
        meter = self.meter(unit)
        meter.give_back(amount, meter.limit(configured.get(unit), now), call, now)

    def replied(self, count: int) -> None:
        """Count calls that the provider accepted."""
        self.replies += count

    def refused(
        self,
        unit: Unit,
        amount: float,
        configured: Limits,
        now: float,
        *,
        call: int,
        pause_s: float,
    ) -> None:
        """Apply a refusal. Of several refusals at one moment, only the first is new information.

        A `call` of 0 was sent without a reservation, so its place in the order is unknown.
        """
        meter, given = self.meter(unit), configured.get(unit)
        meter.refused(amount, call, now)
        if self.doubt.is_limit(call, self.calls, now):
            meter.blame(amount, given, self.calls, now)
            pause_s = min(pause_s, meter.reset_in(now) or pause_s)
            self.paused_until = max(self.paused_until, now + pause_s)
            if pause_s:
                meter.pause(pause_s, self.calls, now)
        elif call <= self.acknowledged or not meter.correct(amount, given, self.calls, now):
            return
        self.acknowledged = self.calls

    def advertised(
        self, unit: Unit, known: Bucket | Window, configured: Limits, now: float
    ) -> None:
        """Apply the limit that the provider advertises."""
        meter = self.meter(unit)
        if isinstance(known, Bucket):
            meter.advertise(known, configured.get(unit), now)
        else:
            meter.advertise_window(known, now)

    def limits(self, configured: Limits, now: float) -> dict[Unit, Limit]:
        """Return the limits that apply now."""
        found = ((unit, self.meter(unit).in_force(configured.get(unit), now)) for unit in UNITS)
        return {unit: limit for unit, limit in found if limit is not None}

    def is_free(self, configured: Limits, now: float) -> bool:
        """Return True if nothing limits the calls, and no refusal is being examined."""
        return (
            self.replies >= RULES.replies_to_be_free
            and not self.doubt.needs_evidence(now)
            and not self.limits(configured, now)
        )

    def _later(self, wait_s: float, reason: str) -> Reservation:
        return Reservation(wait_s, booked=False, call=self.calls, reason=reason)

    def _start_wait(self, configured: Limits, now: float) -> float:
        """Return how long a call waits because the provider's limits are not known yet."""
        waits = self._is_new() and not configured
        return max(self.next_at - now, 0.0) if waits else 0.0

    def _is_new(self) -> bool:
        return self.replies < RULES.replies_to_be_free and self.calls >= RULES.first_calls


_OWN = attrgetter("next_at", "calls", "acknowledged", "replies", "paused_until")
_DOUBT = attrgetter(*(each.name for each in fields(Doubt)))
_METER = attrgetter(*(each.name for each in fields(Meter)))
