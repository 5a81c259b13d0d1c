"""The progress of a run as text: its parts, and how they fill lines of a width."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from batches.formats import count, dollars, duration, rate

SEPARATOR = " \N{MIDDLE DOT} "
# The rate is of this last time.
RATE_OF_S = 30.0
LEAST_RATE_S = 1.0
SHOWN_FAILURES = 3


@dataclass(frozen=True, slots=True)
class RunView:
    """The figures of a batch during a run; the cost is zero while no price is known.

    `notes` are the rate limit in force and what is retried; `waiting` is what a run waits for.
    """

    total: int
    done: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    in_flight: int = 0
    tokens: int = 0
    cost: Decimal = Decimal(0)
    per_s: float | None = None
    elapsed_s: float = 0.0
    notes: Sequence[str] = ()
    waiting: str = ""

    @property
    def left_s(self) -> float | None:
        """Return the time left at the present rate; None if nothing is known of it."""
        return (self.total - self.done) / self.per_s if self.per_s else None


class RecentRate:
    """The prompts per second of the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, done: int, *, now: float) -> float | None:
        """Record a count; return the rate, or None if too little was seen."""
        self._seen.append((now, done))
        while now - self._seen[0][0] > RATE_OF_S and len(self._seen) > 2:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (now - since) if now - since >= LEAST_RATE_S else None


def parts_of(view: RunView) -> list[str]:
    """Return the figures of the progress, most important first."""
    return [f"{view.done:,} of {view.total:,}", *_figures(view)]


def plain_line(view: RunView) -> str:
    """Return the progress as one line for a log."""
    parts = [f"{view.done:,} of {view.total:,} prompts", *_figures(view)]
    return ", ".join([*parts, view.waiting] if view.waiting else parts)


def flow(parts: Sequence[str], width: int, *, first: int) -> list[str]:
    """Fill lines of this width with whole parts; the first line has only `first` characters.

    A part that is wider than a line has a line of its own.
    """
    lines = [parts[0]]
    for part in parts[1:]:
        longer = f"{lines[-1]}{SEPARATOR}{part}"
        if len(longer) <= (first if len(lines) == 1 else width):
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _figures(view: RunView) -> Iterator[str]:
    if view.per_s is not None:
        yield rate(view.per_s)
    yield f"{view.in_flight:,} in flight"
    if view.failures:
        yield _failed(view.failures)
    if view.tokens:
        yield f"{count(view.tokens)} tokens"
    if view.cost:
        yield dollars(view.cost)
    yield f"elapsed {_whole_seconds(view.elapsed_s)}"
    if view.left_s is not None:
        yield f"left {_whole_seconds(view.left_s)}"
    yield from (note for note in view.notes if note not in view.waiting)


def _whole_seconds(seconds: float) -> str:
    return duration(round(seconds)) if seconds >= 1 else "0 s"


def _failed(failures: Mapping[str, int]) -> str:
    """Return the number of failed prompts, and of their most frequent kinds."""
    ordered = sorted(failures.items(), key=lambda entry: (-entry[1], entry[0]))
    kinds = [f"{kind} {number:,}" for kind, number in ordered[:SHOWN_FAILURES]]
    if len(ordered) > SHOWN_FAILURES:
        kinds.append("\N{HORIZONTAL ELLIPSIS}")
    return f"{sum(failures.values()):,} failed ({', '.join(kinds)})"
