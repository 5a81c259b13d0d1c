"""A provider's bucket and those who keep to a pace, on a clock of their own."""

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from batches.engine.announced import Announced, RateEstimate
from batches.engine.pace import UNITS, Limit, Pace, Unit

ROUND_TRIP_S = 0.01
LATENCY_S = (0.1, 0.5)
LONGEST_JITTER_S = 1.0
ASK_AGAIN_S = 1.0


@dataclass
class Bucket:
    """What a provider allows, and what it has let in."""

    limit: Limit
    level: float = field(init=False)
    seen_at: float = 0.0
    taken: float = 0.0
    refused: int = 0
    last_at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.limit.burst

    def take(self, amount: float, now: float) -> float:
        """0 for a call that is let in, or the seconds until it would be."""
        self._refill(now)
        lacking = min(amount, self.limit.burst) - self.level
        if lacking > 1e-9:
            self.refused += 1
            return lacking / self.limit.rate
        self.level -= amount
        self.taken += amount
        self.last_at = now
        return 0.0

    def announced(self, now: float) -> Announced:
        """What the headers of a reply tell: whole tokens, and whole seconds above one."""
        self._refill(now)
        reset_s = (self.limit.burst - self.level) / self.limit.rate
        grain_s = 0.001 if reset_s < 1 else 1.0
        remaining = max(0.0, float(int(self.level)))
        return Announced(
            self.limit.burst, remaining, math.ceil(reset_s / grain_s) * grain_s, grain_s
        )

    def _refill(self, now: float) -> None:
        refilled = self.level + (now - self.seen_at) * self.limit.rate
        self.level, self.seen_at = min(self.limit.burst, refilled), now

    @property
    def used(self) -> float:
        """The share of the allowance that was used."""
        return self.taken / (self.limit.burst + self.limit.rate * self.last_at)


class Callers:
    """One asks for places after another, for calls of these amounts, until all are answered.

    Each reserves `too_much` and gives it back; it is told the limits if the bucket `announces`.
    """

    def __init__(
        self,
        unit: Unit,
        amounts: Sequence[float],
        bucket: Bucket,
        *,
        told: Limit | None = None,
        says_when: bool = True,
        announces: bool = False,
        too_much: float = 0.0,
        window: int = 100,
    ) -> None:
        self.pace = Pace()
        self._unit = unit
        self._amounts = amounts
        self._bucket = bucket
        self._told = {unit: told} if told else {}
        self._says_when = says_when
        self._estimate = RateEstimate() if announces else None
        self._too_much = too_much
        self._room = window
        self._chance = random.Random(7)
        self._ready = list(range(len(amounts)))[::-1]
        self._events: list[tuple[float, int, str, int, int]] = []
        self._sent_at: dict[int, float] = {}
        self._waits: dict[int, float] = {}
        self._asking = False
        self._now = 0.0

    def run(self) -> int:
        """How many calls were made."""
        calls = answered = 0
        self._ask()
        while answered < len(self._amounts):
            self._now, _, what, call, epoch = heapq.heappop(self._events)
            if what == "ask":
                self._reserve(call)
            elif what == "send":
                calls += 1
                self._send(call, epoch)
            elif what == "refused":
                self._refused(call, epoch)
                self._announce(call)
            elif what == "retry":
                self._ready.insert(0, call)
            else:
                answered += 1
                self._room += 1
                self.pace.replied(1)
                self._settle(epoch)
                self._announce(call)
            self._ask()
        return calls

    def _later(self, seconds: float, what: str, call: int, epoch: int = 0) -> None:
        heapq.heappush(self._events, (self._now + seconds, len(self._events), what, call, epoch))

    def _ask(self) -> None:
        if self._ready and self._room and not self._asking:
            self._asking = True
            self._room -= 1
            self._later(0.0, "ask", self._ready.pop())

    def _reserve(self, call: int) -> None:
        amount = self._amounts[call] + self._too_much
        amounts = {unit: amount if unit == self._unit else 1.0 for unit in UNITS}
        slot = self.pace.reserve(amounts, self._told, self._now)
        if slot.booked:
            self._later(max(slot.wait_s, 0.0), "send", call, slot.epoch)
        else:
            self._later(min(slot.wait_s, ASK_AGAIN_S), "ask", call)

    def _send(self, call: int, epoch: int) -> None:
        self._asking = False
        self._sent_at[call] = self._now
        wait_s = self._bucket.take(self._amounts[call], self._now)
        if wait_s:
            self._waits[call] = wait_s
            self._later(ROUND_TRIP_S, "refused", call, epoch)
        else:
            self._later(self._chance.uniform(*LATENCY_S), "answered", call, epoch)

    def _refused(self, call: int, epoch: int) -> None:
        self._room += 1
        pause_s = max(self._waits.pop(call) - ROUND_TRIP_S, 0.0) if self._says_when else 0.0
        amount = self._amounts[call] + self._too_much
        self.pace.refused(self._unit, amount, self._told, self._now, epoch=epoch, pause_s=pause_s)
        self._later(max(pause_s, self._chance.uniform(0.0, LONGEST_JITTER_S)), "retry", call)

    def _settle(self, epoch: int) -> None:
        if self._too_much:
            unit, told = self._unit, self._told
            self.pace.give_back(unit, self._too_much, told, self._now, epoch=epoch)

    def _announce(self, call: int) -> None:
        latency_s = self._now - self._sent_at.pop(call)
        if self._estimate is None:
            return
        announced = self._bucket.announced(self._now)
        known = self._estimate.observe(announced)
        if known is not None:
            left = announced.remaining + 1 + known.rate * latency_s
            self.pace.announce(self._unit, known, self._told, left, self._now)
