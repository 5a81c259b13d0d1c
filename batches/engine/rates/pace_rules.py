"""All numbers of the rate limiter, each with its purpose."""

import math
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["requests", "tokens"]
UNITS: tuple[Unit, ...] = ("requests", "tokens")
Source = Literal["configured", "advertised", "learned"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A bucket of a provider: it refills by `rate` per second, up to `burst`."""

    rate: float
    burst: float
    source: Source = field(default="configured", compare=False)


@dataclass(frozen=True, slots=True)
class Bucket:
    """An advertised bucket with at most `left` in it, full again in `reset_s`.

    It is `sure` if the headers so far rule out a fixed window.
    """

    limit: Limit
    left: float
    reset_s: float
    sure: bool = True

    @property
    def per_second(self) -> float:
        return self.limit.rate


@dataclass(frozen=True, slots=True)
class Window:
    """An advertised fixed window: at most `left` until it ends, then the full `limit` again."""

    limit: float
    left: float
    ends_in_s: float
    period_s: float

    @property
    def per_second(self) -> float:
        return self.limit / self.period_s


@dataclass(frozen=True, slots=True)
class PaceRules:
    """The constants that the pace of calls depends on, beside the provider's behaviour."""

    # A provider whose limits are unknown gets this many calls at once, ...
    first_calls: int = 50
    # ... then this many per second, ...
    calls_per_second: float = 250.0
    # ... and this many more per second for each answer.
    calls_per_reply: float = 20.0
    # After this many answers without a limit, runners send calls without reserving each one.
    replies_to_be_free: int = 500

    # A provider may refuse up to this share of all calls for reasons other than pace ...
    chance_share: float = 0.15
    # ... and refuses at least this share of the calls that go beyond a limit.
    limit_share: float = 0.5
    # Refusals are attributed to a limit when they are e to the power of this number more likely
    # under a limit than by chance, and to chance in the opposite case.
    evidence_needed: float = 4.5
    # After a verdict of chance, refusals are not examined for this time, in seconds.
    calm_s: float = 1.0

    # The recent flow is the amount accepted within about this time, in seconds.
    recent_s: float = 1.0
    # A rate is measured over at least this many calls.
    least_calls: int = 15
    # Factor by which a learned rate grows per second, until it is measured between two refusals.
    early_growth: float = 1.5
    # Afterwards the rate grows by this share per second, ...
    growth: float = 0.005
    # ... and by this share per cubed second, so that a raised limit is found.
    fast_growth: float = 1e-4
    # A learned rate that has grown by this factor is forgotten.
    forgotten: float = 20.0
    # This many refusals in a row that come too early for a limit show that there is no limit.
    odd_refusals: int = 4
    # A configured or advertised rate is doubted when less than this share of it is accepted.
    believed: float = 0.9
    # A runner books places for all its calls that are due within this time, in seconds: a longer
    # time means fewer requests for places, a shorter one a quicker reaction to a pause.
    ahead_s: float = 0.05
    # A place that depends on a learned rate is booked at most this far ahead, in seconds.
    farthest_s: float = 5.0

    def grown(self, seconds: float, *, proven: bool) -> float:
        """Return the factor by which a learned rate has grown; 0 once the rate is forgotten."""
        passed = min(max(seconds, 0.0), 1000.0)
        factor = 1 + self.growth * passed + self.fast_growth * passed**3
        if factor >= self.forgotten:
            return 0.0
        early = self.early_growth ** min(passed, 60.0)
        return factor if proven else min(early, self.forgotten)

    def calls_between_refusals(self, calls_per_second: float) -> float:
        """Return how many calls a limit accepts before a growing rate is refused once."""
        return math.sqrt(2 * calls_per_second / self.growth)


RULES = PaceRules()
