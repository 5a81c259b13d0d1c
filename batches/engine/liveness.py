"""Whether a target (a model of a provider) answers at all. Pure: the caller brings the clock.

    answering --a call fails------------------------------------> doubtful
    doubtful  --a call that was sent after that is answered-----> answering  (the prompt failed)
    doubtful  --enough failures, more than other calls-----------> away       (no prompt failed)
    away      --a probe is answered------------------------------> answering

Only an answer to a call that was sent after a failure shows whose fault it was: a server that
shuts down still answers what it had begun. An outage needs more failures than calls that were
sent with the failed ones or later and are in flight or answered: failures come back sooner than
answers do.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from batches.engine.errors import (
    DeadlineExceeded,
    EndpointUnusable,
    InternalError,
    MalformedReply,
    NetworkError,
    NoFileLeft,
    Overloaded,
    ProviderError,
    ServerError,
    Unreachable,
)

# Statuses of a server or gateway that takes no requests now, whatever they ask.
UNAVAILABLE = frozenset({502, 503, 520, 521, 522, 523, 525, 526, 527, 529, 530})
# This many failures of a server that is unavailable, or of any kind for this many prompts, are
# an outage unless a call that was sent later is answered.
UNAVAILABLE_IN_A_ROW = 3
PROMPTS_IN_A_ROW = 5
# The longest Retry-After that a probe obeys.
LONGEST_ASKED_S = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How patiently a target that is away is waited for; times in seconds.

    The first probe is sent after `first_s`; each further one waits twice as long, up to
    `longest_s`. A target that has answered nothing for `total_s` is given up.
    """

    first_s: float = 1.0
    longest_s: float = 15.0
    total_s: float = 900.0

    def wait_s(self, error: ProviderError, probes: int) -> float:
        """Return how long to wait after this many probes that were not answered."""
        backoff = min(self.longest_s, self.first_s * 2.0 ** min(probes, 30))
        return float(max(backoff, min(error.retry_after_s or 0.0, LONGEST_ASKED_S)))


class Suspicion(Enum):
    """How surely a failure is the target's fault and not the prompt's, the surest first."""

    UNREACHED = auto()
    UNAVAILABLE = auto()
    UNCERTAIN = auto()


class Blame(Enum):
    """Whose fault a failure is; OPEN if no call in flight can tell."""

    PROMPT = auto()
    TARGET = auto()
    OPEN = auto()


def suspicion_of(error: ProviderError) -> Suspicion | None:
    """Return how suspicious an error is; None if it says nothing against the target."""
    if isinstance(error, Unreachable):
        return Suspicion.UNREACHED
    if isinstance(error, Overloaded) or error.status_code in UNAVAILABLE:
        return Suspicion.UNAVAILABLE
    if isinstance(error, NoFileLeft):
        return None
    if isinstance(error, ServerError | NetworkError | DeadlineExceeded | MalformedReply):
        return Suspicion.UNCERTAIN
    return None


def shows_life(error: ProviderError) -> bool:
    """Return True if an error can only come from a target that answers."""
    unsent = NoFileLeft | EndpointUnusable | InternalError
    return suspicion_of(error) is None and not isinstance(error, unsent)


@dataclass(frozen=True, slots=True)
class Away:
    """An outage: why, since when, and when the next probe is due (monotonic seconds)."""

    reason: str
    since: float
    next_probe: float
    probes: int = 0


@dataclass(frozen=True, slots=True)
class _Doubt:
    call: Hashable
    sent_at: float
    failed_at: float
    suspicion: Suspicion


@dataclass(slots=True)
class Liveness:
    """What is known of one target. A call is anything hashable, in flight once at a time."""

    patience: Patience = field(default_factory=Patience)
    away: Away | None = None
    _in_flight: dict[Hashable, float] = field(default_factory=dict)
    _doubts: list[_Doubt] = field(default_factory=list)
    # When the calls were sent that have been answered since the first of the doubts.
    _answers: list[float] = field(default_factory=list)
    # Calls that were sent before may have failed because of an outage.
    _excused_before: float = float("-inf")

    @property
    def is_undecided(self) -> bool:
        """Return True if a call in flight may yet tell whose fault the latest failures are."""
        return bool(self._doubts) and bool(self._in_flight)

    def began(self, call: Hashable, now: float) -> None:
        """Note that a call is sent."""
        self._in_flight[call] = now

    def answered(self, call: Hashable) -> list[Hashable]:
        """Note that a call was answered; return the calls whose own fault failures have proved."""
        sent_at = self._in_flight.pop(call)
        if self.away is not None and sent_at > self.away.since:
            self.away = None
        proved = [doubt.call for doubt in self._doubts if doubt.failed_at <= sent_at]
        self._doubts = [doubt for doubt in self._doubts if doubt.failed_at > sent_at]
        self._answers = self._contemporary([*self._answers, sent_at]) if self._doubts else []
        return proved

    def forget(self, call: Hashable) -> None:
        """Note that a call ended in a way that says nothing of its target."""
        self._in_flight.pop(call)

    def failed(
        self,
        call: Hashable,
        error: ProviderError,
        suspicion: Suspicion,
        *,
        proved: bool,
        now: float,
    ) -> Blame:
        """Note that a call failed. `proved` says that its prompt has failed while the target
        answered others: such a prompt proves nothing more."""
        sent_at = self._in_flight.pop(call)
        if self.away is not None or sent_at <= self._excused_before:
            return Blame.TARGET
        if proved and suspicion is not Suspicion.UNREACHED:
            return Blame.PROMPT
        self._doubts.append(_Doubt(call, sent_at, now, suspicion))
        if not self._is_outage():
            return Blame.OPEN
        self._excused_before = now
        next_probe = now + self.patience.wait_s(error, 0)
        self.away = Away(error.message, since=now, next_probe=next_probe)
        return Blame.TARGET

    def excused(self) -> list[Hashable]:
        """Return the calls whose failures an outage excuses; only the first time."""
        calls = list(dict.fromkeys(doubt.call for doubt in self._doubts))
        self._doubts = []
        return calls

    def probe_failed(self, error: ProviderError, now: float) -> None:
        """Note that a probe was not answered: the next one waits longer."""
        if self.away is not None:
            probes = self.away.probes + 1
            next_probe = now + self.patience.wait_s(error, probes)
            self.away = Away(error.message, self.away.since, next_probe, probes)

    def hasten(self, now: float) -> None:
        """Have the first probe be sent now, since an older call was answered after all."""
        if self.away is not None and not self.away.probes:
            self.away = replace(self.away, next_probe=min(self.away.next_probe, now))

    def postpone(self, now: float) -> None:
        """Have the next probe wait, since another runner probes now."""
        if self.away is not None:
            self.away = replace(self.away, next_probe=now + self.patience.first_s)

    def begin_outage(self, away: Away, now: float) -> None:
        """Take the word of others that the target is away, or what is new of it."""
        self.away = away
        self._excused_before = now

    def end_outage(self, now: float) -> None:
        """Take the word of others that the target answers."""
        self.away = None
        self._doubts = []
        self._excused_before = now

    def _is_outage(self) -> bool:
        sure = sum(doubt.suspicion is not Suspicion.UNCERTAIN for doubt in self._doubts)
        prompts = len({doubt.call for doubt in self._doubts})
        enough = sure >= UNAVAILABLE_IN_A_ROW or prompts >= PROMPTS_IN_A_ROW
        others = self._contemporary([*self._in_flight.values(), *self._answers])
        return enough and len(self._doubts) > len(others)

    def _contemporary(self, sent: Iterable[float]) -> list[float]:
        """Return the times of calls that were sent with the first of the failed ones or later."""
        first = min(doubt.sent_at for doubt in self._doubts)
        return [sent_at for sent_at in sent if sent_at >= first]
