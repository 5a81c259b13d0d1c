"""The dashboard: recent batches, workers, providers, failures, and charts of the last days."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from batches.admin.activity import DAY, PERIODS, Period, activity_charts
from batches.admin.base import PAGE_MEDIA
from batches.admin.batches.costs import unpriced
from batches.admin.batches.failures import failures_of
from batches.admin.batches.page import ShownProgress, colour_of, progress_of
from batches.admin.batches.timing import Timing, timing_of
from batches.admin.charts import Chart
from batches.admin.providers.state import ProviderState, provider_states
from batches.admin.samples import Samples, samples_of
from batches.admin.workers import WorkerState, worker_states
from batches.leases.state import PAUSED, RUNNING, STOPPED, WAITING, ShownState, state_of, with_state
from batches.lifecycle import TERMINAL
from batches.limits.prices import cost_of
from batches.models import Batch, Provider

# Up to this many batches are shown, the running ones first; the list of batches has them all.
SHOWN = 8
SAMPLES = 200
ENDED_TODAY = 200


@dataclass(frozen=True, slots=True)
class RecentBatch:
    """A row of the table of recent batches; `state` is its status or why it makes no progress."""

    batch: Batch
    state: ShownState
    colour: str
    progress: ShownProgress
    timing: Timing
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The figures of the dashboard. "Today" covers batches started since midnight UTC."""

    recent: list[RecentBatch]
    # The batches that have not ended, by state: only "running" ones make progress.
    states: dict[str, int]
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
    period: str
    charts: list[Chart]

    @property
    def running(self) -> int:
        return self.states.get(RUNNING, 0)

    @property
    def others(self) -> list[tuple[str, int]]:
        """Return the numbers of the batches that have not ended and do not run."""
        return sorted((state, n) for state, n in self.states.items() if state != RUNNING)

    @property
    def ready(self) -> int:
        """Return the number of workers that are alive."""
        return sum(worker.state in {"busy", "idle"} for worker in self.workers)


def with_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard to the context of the index page."""
    context |= {"title": "Dashboard", "headed": True, "media": PAGE_MEDIA}
    if request.user.has_perm("batches.view_batch"):
        period = PERIODS.get(request.GET.get("period", ""), DAY)
        context |= {"dashboard": dashboard(period), "periods": PERIODS}
    return context


def dashboard(period: Period = DAY) -> Dashboard:
    """Load the dashboard in a bounded number of queries."""
    alive = Batch.objects.filter(deleted_at=None)
    unended = with_state(alive.exclude(status__in=TERMINAL))
    shown = [_running(batch) for batch in unended.order_by("-priority", "pk")[:SHOWN]]
    begun_today = alive.filter(created_at__gte=_midnight())
    today = _totals(begun_today)
    without_price = unpriced(begun_today)
    return Dashboard(
        recent=[*shown, *_ended(alive, SHOWN - len(shown))],
        states=_states(unended),
        per_s=sum(one.timing.now_per_s or 0.0 for one in shown),
        batches_today=today["batches"],
        prompts_today=today["prompts"] or 0,
        tokens_today=today["tokens"] or 0,
        cost_today=today["cost"] or (None if without_price else Decimal(0)),
        unpriced_today=without_price,
        failures=_failures(alive, [one.batch for one in shown]),
        workers=worker_states(),
        waiting=Batch.objects.waiting().count(),
        providers=provider_states((one.batch, one.timing) for one in shown),
        providers_in_all=Provider.objects.count(),
        period=period.name,
        charts=activity_charts(period),
    )


def _states(unended: Any) -> dict[str, int]:
    """Count the batches from `with_state` by state."""
    return dict(unended.order_by().values_list("state").annotate(n=Count("pk")))


def _ended(alive: QuerySet[Batch], most: int) -> list[RecentBatch]:
    """Return the latest batches that have ended; their figures are in their rows."""
    ended = alive.filter(status__in=TERMINAL).select_related("provider").order_by("-pk")
    return [_recent(batch, ShownState(batch.status), Samples([], 1)) for batch in ended[:most]]


def _running(batch: Batch) -> RecentBatch:
    return _recent(batch, state_of(batch), samples_of(batch, most=SAMPLES))


def _recent(batch: Batch, state: ShownState, samples: Samples) -> RecentBatch:
    return RecentBatch(
        batch=batch,
        state=state,
        colour="warn" if state.word in {PAUSED, STOPPED, WAITING} else colour_of(batch),
        progress=progress_of(batch),
        timing=timing_of(batch, samples),
        cost=cost_of(batch),
    )


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
