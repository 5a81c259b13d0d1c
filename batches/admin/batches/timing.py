"""Speed of a batch, computed from its row and from samples: cheap enough for every second."""

import time
from dataclasses import dataclass

from batches.admin.samples import Samples
from batches.ending.report import stored_report
from batches.engine.timing import percentile
from batches.leases.waiting import runs_now
from batches.lifecycle import TERMINAL, BatchStatus
from batches.models import Batch

# The current throughput is the average over this many seconds.
RECENT_S = 20.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of a batch in seconds; None if a value is not known yet."""

    first_result_s: float | None = None
    total_s: float | None = None
    prompts_per_s: float | None = None
    now_per_s: float | None = None
    left_s: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    speed_up: float | None = None
    one_at_a_time_s: float | None = None

    @property
    def percentiles(self) -> dict[str, float]:
        """Return the percentiles that are known, by name."""
        found = {"p50": self.p50_s, "p95": self.p95_s, "p99": self.p99_s}
        return {name: seconds for name, seconds in found.items() if seconds is not None}


def timing_of(batch: Batch, samples: Samples) -> Timing:
    """Compute the timing of a batch; an estimate while it runs, exact once it has ended."""
    done = batch.succeeded + batch.failed
    active = batch.active_s or None
    per_s = done / active if active and done else None
    going_on = not (batch.status in TERMINAL or is_paused(batch) or is_left(batch))
    now = recent_rate(samples, time.time()) if going_on else None
    pace = now or per_s
    in_progress = batch.status == BatchStatus.IN_PROGRESS
    p50, p95, p99 = _percentiles(batch, samples)
    return Timing(
        first_result_s=batch.first_result_s,
        total_s=active,
        prompts_per_s=per_s,
        now_per_s=now,
        left_s=(batch.total - done) / pace if pace and going_on and in_progress else None,
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        speed_up=batch.busy_s / active if active and batch.busy_s else None,
        one_at_a_time_s=batch.busy_s or None,
    )


def is_paused(batch: Batch) -> bool:
    """Return True if no further calls are sent for the batch, or for any of its provider."""
    return bool(batch.pause_reason or batch.provider.pause_reason)


def is_left(batch: Batch) -> bool:
    """Return True if a command started the batch and is not running now; no worker claims it."""
    if batch.in_background or batch.status != BatchStatus.IN_PROGRESS:
        return False
    return not runs_now(batch)


def recent_rate(samples: Samples, now: float) -> float | None:
    """Return the prompts per second of the last 20 s; None if no prompt was done in that time."""
    since = now - RECENT_S
    recent = [one.done_at for one in samples.results if one.done_at > since]
    if not recent:
        return None
    begun_s = now - samples.results[0].done_at
    return len(recent) * samples.weight / min(RECENT_S, max(begun_s, 1.0))


def _percentiles(batch: Batch, samples: Samples) -> tuple[float | None, ...]:
    report = stored_report(batch)
    if report is not None:
        return report.timing.p50_s, report.timing.p95_s, report.timing.p99_s
    ordered = samples.latencies
    if not ordered:
        return None, None, None
    return tuple(percentile(ordered, part) for part in (0.50, 0.95, 0.99))
