"""The dashboard: running batches, workers, providers and failures."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from batches.admin.batches.costs import unpriced
from batches.admin.batches.failures import failures_of
from batches.admin.batches.page import ShownProgress, colour_of, progress_of
from batches.admin.batches.timing import Timing, timing_of
from batches.admin.providers.state import ProviderState, provider_states
from batches.admin.samples import samples_of
from batches.admin.workers import WorkerState, worker_states
from batches.lifecycle import TERMINAL
from batches.models import Batch, Provider

# Up to this many batches are shown; the list of batches has them all.
SHOWN = 8
SAMPLES = 200
ENDED_TODAY = 200


@dataclass(frozen=True, slots=True)
class Running:
    """A row of the table of running batches."""

    batch: Batch
    colour: str
    progress: ShownProgress
    timing: Timing


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The figures of the dashboard. "Today" covers batches started since midnight UTC."""

    running: list[Running]
    running_in_all: int
    per_s: float
    batches_today: int
    prompts_today: int
    tokens_today: int
    # None if the price of no batch is known.
    cost_today: Decimal | None
    unpriced_today: int
    failures: list[tuple[str, int]]
    workers: list[WorkerState]
    waiting: int
    providers: list[ProviderState]
    providers_in_all: int

    @property
    def deserted(self) -> bool:
        """Return True if no worker is alive that could process a batch."""
        return not any(worker.state in {"busy", "idle"} for worker in self.workers)


def with_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard to the context of the index page."""
    context |= {"title": "Dashboard", "headed": True}
    if request.user.has_perm("batches.view_batch"):
        context["dashboard"] = dashboard()
    return context


def dashboard() -> Dashboard:
    """Load the dashboard in a bounded number of queries."""
    alive = Batch.objects.filter(deleted_at=None)
    unended = alive.exclude(status__in=TERMINAL)
    shown = unended.select_related("provider").order_by("-priority", "pk")[:SHOWN]
    running = [_running(batch) for batch in shown]
    begun_today = alive.filter(created_at__gte=_midnight())
    today = _totals(begun_today)
    without_price = unpriced(begun_today)
    return Dashboard(
        running=running,
        running_in_all=unended.count(),
        per_s=sum(one.timing.now_per_s or 0.0 for one in running),
        batches_today=today["batches"],
        prompts_today=today["prompts"] or 0,
        tokens_today=today["tokens"] or 0,
        cost_today=today["cost"] or (None if without_price else Decimal(0)),
        unpriced_today=without_price,
        failures=_failures(alive, [one.batch for one in running]),
        workers=worker_states(),
        waiting=Batch.objects.waiting().count(),
        providers=provider_states((one.batch, one.timing) for one in running),
        providers_in_all=Provider.objects.count(),
    )


def _running(batch: Batch) -> Running:
    timing = timing_of(batch, samples_of(batch, most=SAMPLES))
    return Running(batch, colour_of(batch), progress_of(batch), timing)


def _midnight() -> datetime:
    return timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)


def _totals(batches: QuerySet[Batch]) -> dict[str, Any]:
    return batches.aggregate(
        batches=Count("pk"),
        prompts=Sum(F("succeeded") + F("failed")),
        tokens=Sum(F("input_tokens") + F("output_tokens")),
        cost=Sum("cost"),
    )


def _failures(batches: QuerySet[Batch], running: list[Batch]) -> list[tuple[str, int]]:
    """Count failures by kind: in batches that ended today and in the running ones shown."""
    found: Counter[str] = Counter()
    ended = batches.filter(
        status__in=TERMINAL, created_at__gte=_midnight(), failed__gt=0, report__isnull=False
    )
    for report in ended.order_by("-pk").values_list("report", flat=True)[:ENDED_TODAY]:
        found.update((report or {}).get("failures", {}))
    for batch in running:
        if batch.failed:
            found.update({group.kind: group.count for group in failures_of(batch).groups})
    return found.most_common()
