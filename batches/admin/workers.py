"""The workers on the dashboard: busy, idle, or silent, without a recent heartbeat."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from django.db.models import DateTimeField, ExpressionWrapper
from django.db.models.functions import Now

from batches.models import Slot, Worker
from batches.workers.heartbeats import HEARTBEAT_S, MISSED

SHOWN = 50

State = Literal["busy", "idle", "silent"]


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A process that runs batches. A command that runs a batch has no heartbeat."""

    name: str
    state: State
    batches: int = 0
    seen_s: float | None = None


def worker_states() -> list[WorkerState]:
    """Return the workers, latest heartbeat first, then the commands."""
    slots = Counter(Slot.objects.taken().values_list("runner", flat=True))
    # By the database's clock, which also wrote `seen_at`.
    now = ExpressionWrapper(Now(), DateTimeField())
    rows = Worker.objects.order_by("-seen_at", "name").annotate(now=now)
    columns = rows.values_list("name", "process", "seen_at", "now")[:SHOWN]
    workers = [
        _state(name, slots.pop(process, 0), (now - seen_at).total_seconds())
        for name, process, seen_at, now in columns
    ]
    commands = [WorkerState(name or "unnamed", "busy", n) for name, n in sorted(slots.items())]
    return workers + commands[:SHOWN]


def _state(name: str, batches: int, seen_s: float) -> WorkerState:
    state: State = "busy" if batches else "idle"
    if seen_s > MISSED * HEARTBEAT_S:
        state = "silent"
    return WorkerState(name, state, batches, max(seen_s, 0.0))
