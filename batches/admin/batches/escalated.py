"""The prompts of a batch that were asked of a stronger model."""

from dataclasses import dataclass

from batches.admin.samples import LOOKED_AT
from batches.ending.report import stored_report
from batches.models import Batch, Result


@dataclass(frozen=True, slots=True)
class Escalated:
    """The number of these prompts, and how many of them succeeded; `partial` if only the first
    results were counted."""

    prompts: int
    succeeded: int
    partial: bool = False


def escalated_of(batch: Batch) -> Escalated | None:
    """Count these prompts in queries of bounded cost; None for a batch without stronger models."""
    if not batch.escalate:
        return None
    report = stored_report(batch)
    if report is not None:
        return Escalated(report.escalated, report.escalated_succeeded)
    succeeded, failed = (_count(batch, status) for status in (Result.SUCCEEDED, Result.FAILED))
    partial = max(batch.succeeded, batch.failed) > LOOKED_AT
    return Escalated(succeeded + failed, succeeded, partial)


def _count(batch: Batch, status: str) -> int:
    # The index has the results of a status in order.
    results = Result.objects.filter(batch=batch, status=status).order_by("index")
    first = Result.objects.filter(pk__in=results.values("pk")[:LOOKED_AT])
    return first.filter(escalation__isnull=False).count()
