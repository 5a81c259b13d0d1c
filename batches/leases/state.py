"""The state of a batch in a word for people, and the reason why it makes no progress."""

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import Case, F, Q, QuerySet, Value, When

from batches.leases.waiting import in_words, waiting_of, with_waiting
from batches.lifecycle import BatchStatus, PauseKind
from batches.models import Batch

PAUSED = "paused"
RUNNING = "running"
STOPPED = "stopped"
WAITING = "waiting"
FOR_A_WORKER = "for a worker"
# Every status, with these words for the batches in progress.
STATES = tuple(
    sorted({*map(str, BatchStatus), PAUSED, RUNNING, STOPPED, WAITING} - {BatchStatus.IN_PROGRESS})
)

CAUSES: dict[str, str] = {
    PauseKind.AUTH: "key refused",
    PauseKind.QUOTA: "quota",
    PauseKind.CONFIG: "configuration",
    PauseKind.REQUEST: "requests refused",
    PauseKind.AWAY: "no answer",
    PauseKind.BUDGET: "budget",
    PauseKind.UNSTORABLE: "results not stored",
    PauseKind.STAFF: "by staff",
    PauseKind.PILOT: "pilot done",
    PauseKind.RULE: "a rule is broken",
}


@dataclass(frozen=True, slots=True)
class ShownState:
    """A word, and the reason if the batch is in progress and makes none.

    `cause` is the reason of a pause in a word or two.
    """

    word: str
    reason: str = ""
    cause: str = ""

    @property
    def label(self) -> str:
        """Return a short heading, such as "Paused: budget" or "Waiting for a worker"."""
        word = label_of(self.word)
        return f"{word}: {self.cause}" if self.cause else word

    def __str__(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


def label_of(word: str) -> str:
    """Return a word of STATES as a heading."""
    return f"Waiting {FOR_A_WORKER}" if word == WAITING else word.capitalize()


def with_state(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Annotate each batch with its `state`, and with the values that `state_of` needs."""
    paused = ~Q(pause_reason="") | ~Q(provider__pause_reason="")
    word = Case(
        When(~Q(status=BatchStatus.IN_PROGRESS), then=F("status")),
        When(paused, then=Value(PAUSED)),
        When(Q(runs_now=True), then=Value(RUNNING)),
        When(Q(in_background=True), then=Value(WAITING)),
        # A command began it, and no process runs it any more.
        default=Value(STOPPED),
    )
    return with_waiting(batches.select_related("provider")).annotate(state=word)


def in_states(batches: QuerySet[Batch], words: Collection[str]) -> QuerySet[Batch]:
    """Select the batches from `with_state` that are in one of these states."""
    return batches.filter(Q(("state__in", words)))


def state_of(batch: Batch) -> ShownState:
    """Return the state of a batch from `with_state`."""
    word = str(vars(batch)["state"])
    if word == PAUSED:
        return ShownState(word, batch.standstill, CAUSES.get(batch.standstill_kind, ""))
    if word == WAITING:
        return ShownState(word, FOR_A_WORKER)
    waiting = waiting_of(batch) if word == RUNNING else None
    return ShownState(word, in_words(waiting) if waiting else "")


def current_state(batch: Batch) -> ShownState:
    """Read the state of a batch from the database."""
    return state_of(with_state(Batch.objects.filter(pk=batch.pk)).get())
