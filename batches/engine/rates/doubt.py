"""Tell rate limits from chance: check if calls sent after a refusal are refused as well.

The first refusal opens a doubt. Calls sent before that refusal returned are no evidence, since they
were sent at the same time. Each refusal of a later call is evidence for a limit, each accepted call
is evidence against it (Wald's sequential probability ratio test). Pure: the caller passes the time
and numbers the calls in the order in which they are sent.
"""

from dataclasses import dataclass
from math import log

from batches.engine.rates.pace_rules import RULES

_FOR = log(RULES.limit_share / RULES.chance_share)
_AGAINST = log((1 - RULES.chance_share) / (1 - RULES.limit_share))


@dataclass(slots=True)
class Doubt:
    """The examination of refusals.

    `after` is the newest call that was sent when the doubt was opened; -1 if no doubt is open.
    Refusals of calls up to `judged` are due to a limit that is already known.
    """

    after: int = -1
    judged: int = 0
    opened_at: float = 0.0
    refusals: int = 0
    calm_until: float = 0.0

    def is_limit(self, call: int, newest: int, now: float) -> bool:
        """Record a refused call; return True if a limit causes the refusals."""
        if 0 < call <= self.judged:
            return False
        if not self.is_open(now):
            self.after, self.opened_at, self.refusals = newest, now, 0
            return False
        if call <= self.after:
            return False
        self.refusals += 1
        passed = max(call - self.after - self.refusals, 0)
        evidence = _FOR * self.refusals - _AGAINST * passed
        if abs(evidence) >= RULES.evidence_needed:
            self.after = -1
        if evidence >= RULES.evidence_needed:
            self.judged = newest
        if evidence <= -RULES.evidence_needed:
            self.calm_until = now + RULES.calm_s
        return evidence >= RULES.evidence_needed

    def is_open(self, now: float) -> bool:
        """Return True while a refusal is being examined."""
        return self.after >= 0 and now < self.opened_at + RULES.calm_s

    def needs_evidence(self, now: float) -> bool:
        """Return True if the next calls are evidence about a refusal, and so must be numbered."""
        return self.is_open(now) and now >= self.calm_until
