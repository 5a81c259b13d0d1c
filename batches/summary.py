"""What became of a batch so far: counts, failures by kind, timing."""

from dataclasses import dataclass

from django.db.models import Count

from batches.engine.timing import TimingStats, timing_stats
from batches.models import Batch, Result


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The figures of a batch; `failures` counts the failed prompts by kind, most first."""

    batch_id: str
    status: str
    total: int
    succeeded: int
    failed: int
    failures: dict[str, int]
    calls: int
    input_tokens: int
    output_tokens: int
    timing: TimingStats

    def as_dict(self) -> dict[str, object]:
        return {
            "batch_id": self.batch_id,
            "status": self.status,
            "total": self.total,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "failures": self.failures,
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "timing": self.timing.as_dict(),
        }


def summarise(batch: Batch) -> BatchSummary:
    """The summary of what is stored now; reads the latency of every result."""
    batch.refresh_from_db()
    return BatchSummary(
        batch_id=batch.public_id,
        status=batch.status,
        total=batch.total,
        succeeded=batch.succeeded,
        failed=batch.failed,
        failures=failures_by_kind(batch),
        calls=batch.calls,
        input_tokens=batch.input_tokens,
        output_tokens=batch.output_tokens,
        timing=batch_timing(batch),
    )


def failures_by_kind(batch: Batch) -> dict[str, int]:
    """How many prompts failed of each kind, most first."""
    failed = Result.objects.filter(batch=batch, status=Result.FAILED)
    counted = failed.values_list("kind").annotate(n=Count("pk")).order_by("-n", "kind")
    return dict(counted)


def batch_timing(batch: Batch) -> TimingStats:
    """The timing of a batch; its total is the time in which it was worked on."""
    latencies = (
        Result.objects.filter(batch=batch, latency_s__isnull=False)
        .values_list("latency_s", flat=True)
        .iterator(chunk_size=10_000)
    )
    return timing_stats(
        (latency for latency in latencies if latency is not None),
        busy_s=batch.busy_s,
        total_s=batch.active_s,
        first_result_s=batch.first_result_s,
    )
