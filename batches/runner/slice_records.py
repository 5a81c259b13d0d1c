"""The values that a slice and its store exchange: progress, states, the result of a flush."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batches.engine.execute import Stop
from batches.leases.chunks import Lease
from batches.leases.waiting import WaitingNow
from batches.limits.budget import Spent
from batches.runner.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Progress:
    """The work of a slice so far: counts, failed prompts by kind, tokens and cost. `notes` are the
    rate limit in force and what is retried, in words."""

    succeeded: int = 0
    failed: int = 0
    reused: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0
    spent: Spent = field(default_factory=Spent)
    in_flight: int = 0
    notes: tuple[str, ...] = ()
    waiting: WaitingNow | None = None


@dataclass(frozen=True, slots=True)
class SliceState:
    """The state of a slice, for its store: its calls in flight, what it waits for, the notes of
    `Progress`, the limits that the provider advertises, and whether failures are held back whose
    cause is not known yet."""

    in_flight: int = 0
    waiting: WaitingNow | None = None
    notes: tuple[str, ...] = ()
    announced: Mapping[str, Any] = field(default_factory=dict)
    is_undecided: bool = False


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of a batch, for a slice. `stop`: nothing more may be sent; the value decides about
    calls in flight. `makes_room`: the rest is left to a later slice, since other work waits."""

    surroundings: Surroundings
    stop: Stop | None
    makes_room: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of a flush: the lost leases, and whether the slice still has its slot."""

    lost: frozenset[Lease]
    is_runner: bool
