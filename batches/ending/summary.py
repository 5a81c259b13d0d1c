"""The figures of a batch so far: counts, failures by kind, timing."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from batches.ending.pilot import PilotReport, pilot_report
from batches.ending.report import (
    Report,
    answers_by_rung,
    batch_timing,
    escalated_prompts,
    failures_by_kind,
    stored_report,
)
from batches.engine.timing import TimingStats
from batches.leases.state import ShownState
from batches.limits.prices import cost_of, saved_cost
from batches.models import Batch, Result


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The figures of a batch; `failures` counts the failed prompts by kind, most frequent first,
    and `rungs` counts the valid answers by the rung of the ladder that found them. The cost is in
    dollars, None if no price is known. `cached_tokens` are input tokens that the provider took
    from its cache. `reused` counts answers that were used again, which saved `saved_tokens` and
    `saved_cost`. `escalated` counts the prompts that were asked of a stronger model, and
    `escalated_succeeded` how many of them succeeded. `pilot` is the report on the pilot, if there
    is one."""

    batch_id: str
    total: int
    succeeded: int
    failed: int
    failures: dict[str, int]
    rungs: dict[str, int]
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: Decimal | None
    timing: TimingStats
    pilot: PilotReport | None = None
    reused: int = 0
    saved_tokens: int = 0
    saved_cost: Decimal | None = None
    escalated: int = 0
    escalated_succeeded: int = 0

    def as_dict(self, state: ShownState) -> dict[str, object]:
        """Return the figures with the state of the batch, for JSON."""
        return {
            "batch_id": self.batch_id,
            "status": state.word,
            "reason": state.reason,
            "total": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "failures": self.failures,
            "rungs": self.rungs,
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "cost": None if self.cost is None else float(self.cost),
            "reused": self.reused,
            "saved_tokens": self.saved_tokens,
            "saved_cost": None if self.saved_cost is None else float(self.saved_cost),
            "escalated": self.escalated,
            "escalated_succeeded": self.escalated_succeeded,
            "timing": self.timing.as_dict(),
            "pilot": self.pilot.as_dict() if self.pilot else None,
        }


def first_messages(batch: Batch, kinds: Iterable[str]) -> dict[str, str]:
    """Return the message of the first failed prompt of each kind."""
    failed = Result.objects.filter(batch=batch, status=Result.FAILED).order_by("index")
    messages = failed.values_list("message", flat=True)
    return {kind: messages.filter(kind=kind).first() or "" for kind in kinds}


def summarise(batch: Batch) -> BatchSummary:
    """Return the current summary; for a batch that has not ended, this reads every result."""
    batch.refresh_from_db()
    report = stored_report(batch) or _report_so_far(batch)
    return BatchSummary(
        batch_id=batch.public_id,
        total=batch.total,
        succeeded=batch.succeeded,
        failed=batch.failed,
        failures=report.failures,
        rungs=report.rungs,
        calls=batch.calls,
        input_tokens=batch.input_tokens,
        output_tokens=batch.output_tokens,
        cached_tokens=batch.cached_tokens,
        cost=cost_of(batch),
        timing=report.timing,
        pilot=pilot_report(batch),
        reused=batch.reused,
        saved_tokens=batch.saved_input_tokens + batch.saved_output_tokens,
        saved_cost=saved_cost(batch),
        escalated=report.escalated,
        escalated_succeeded=report.escalated_succeeded,
    )


def _report_so_far(batch: Batch) -> Report:
    return Report(
        batch_timing(batch),
        failures_by_kind(batch),
        answers_by_rung(batch),
        *escalated_prompts(batch),
    )
