"""Find out whether a target (a model of a provider) answers. Pure: the caller passes the time.

    answering --a call fails------------------------------------> doubtful
    doubtful  --a call that was sent after that is answered-----> answering  (the prompt failed)
    doubtful  --enough failures, more than other calls-----------> away       (no prompt failed)
    away      --a probe is answered------------------------------> answering

Only an answer to a call that was sent after a failure shows that the prompt was at fault: a server
that shuts down still answers calls that it had begun. For an outage, the failures must outnumber
the other calls that were sent at the time of the failed calls or later, whether in flight or
answered, because failures return sooner than answers.
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

# Statuses of a server or gateway that accepts no requests at the moment.
UNAVAILABLE = frozenset({502, 503, 520, 521, 522, 523, 525, 526, 527, 529, 530})
# An outage needs this many failures of an unavailable server, or failures of any kind for this
# many prompts, and no answer to a call that was sent later.
UNAVAILABLE_IN_A_ROW = 3
PROMPTS_IN_A_ROW = 5
# The longest Retry-After that delays a probe, in seconds.
LONGEST_ASKED_S = 60.0


@dataclass(frozen=True, slots=True)
class Patience:
    """The times for which to wait for a target that is away, in seconds.

    The first probe is sent after `first_s`; each further one waits twice as long, up to
    `longest_s`. A target that has answered nothing for `total_s` is given up.
    """

    first_s: float = 1.0
    longest_s: float = 15.0
    total_s: float = 900.0

    def wait_s(self, error: ProviderError, probes: int) -> float:
        """Return the wait before the next probe, after this many unanswered probes."""
        backoff = min(self.longest_s, self.first_s * 2.0 ** min(probes, 30))
        return float(max(backoff, min(error.retry_after_s or 0.0, LONGEST_ASKED_S)))


class Suspicion(Enum):
    """The likelihood that a failure is the target's fault and not the prompt's, highest first."""

    UNREACHED = auto()
    UNAVAILABLE = auto()
    UNCERTAIN = auto()


class Blame(Enum):
    """The cause of a failure: the prompt or the target; OPEN if no call in flight can decide."""

    PROMPT = auto()
    TARGET = auto()
    OPEN = auto()


def suspicion_of(error: ProviderError) -> Suspicion | None:
    """Return the suspicion that an error raises; None if it does not point to the target."""
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
    """An outage: its reason, its start, and the time of the next probe (monotonic seconds)."""

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
    """The state of one target. A call can be any hashable; it is in flight once at a time."""

    patience: Patience = field(default_factory=Patience)
    away: Away | None = None
    _in_flight: dict[Hashable, float] = field(default_factory=dict)
    _doubts: list[_Doubt] = field(default_factory=list)
    # Send times of the calls that have been answered since the first of the doubts.
    _answers: list[float] = field(default_factory=list)
    # Calls that were sent before this time may have failed because of an outage.
    _excused_before: float = float("-inf")

    @property
    def is_undecided(self) -> bool:
        """Return True if a call in flight may still show the cause of the latest failures."""
        return bool(self._doubts) and bool(self._in_flight)

    def began(self, call: Hashable, now: float) -> None:
        """Record that a call is sent."""
        self._in_flight[call] = now

    def answered(self, call: Hashable) -> list[Hashable]:
        """Record an answer; return the failed calls that it proves to be at fault themselves."""
        sent_at = self._in_flight.pop(call)
        if self.away is not None and sent_at > self.away.since:
            self.away = None
        proved = [doubt.call for doubt in self._doubts if doubt.failed_at <= sent_at]
        self._doubts = [doubt for doubt in self._doubts if doubt.failed_at > sent_at]
        self._answers = self._contemporary([*self._answers, sent_at]) if self._doubts else []
        return proved

    def forget(self, call: Hashable) -> None:
        """Record the end of a call that says nothing about its target."""
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
        """Record a failed call, and return its cause. `proved` says that the prompt has failed
        while the target answered others: further failures of such a prompt prove nothing."""
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
        """Return the calls whose failures the outage caused; each call is returned once."""
        calls = list(dict.fromkeys(doubt.call for doubt in self._doubts))
        self._doubts = []
        return calls

    def probe_failed(self, error: ProviderError, now: float) -> None:
        """Record an unanswered probe: the next probe waits longer."""
        if self.away is not None:
            probes = self.away.probes + 1
            next_probe = now + self.patience.wait_s(error, probes)
            self.away = Away(error.message, self.away.since, next_probe, probes)

    def hasten(self, now: float) -> None:
        """Make the first probe due now, since an older call was answered after all."""
        if self.away is not None and not self.away.probes:
            self.away = replace(self.away, next_probe=min(self.away.next_probe, now))

    def postpone(self, now: float) -> None:
        """Delay the next probe, since another runner probes now."""
        if self.away is not None:
            self.away = replace(self.away, next_probe=now + self.patience.first_s)

    def begin_outage(self, away: Away, now: float) -> None:
        """Apply another runner's report that the target is away, or an update of that report."""
        self.away = away
        self._excused_before = now

    def end_outage(self, now: float) -> None:
        """Apply another runner's report that the target answers."""
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
        """Return the send times that are not before the first failed call."""
        first = min(doubt.sent_at for doubt in self._doubts)
        return [sent_at for sent_at in sent if sent_at >= first]
