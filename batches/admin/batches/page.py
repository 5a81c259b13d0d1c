"""Content of the page of a batch; rebuilt every two seconds while the batch runs."""

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest

from batches.admin.batches.failures import Failures, failures_of
from batches.admin.batches.graphs import charts_of
from batches.admin.batches.result_rows import Filter, ShownRow, rows_of
from batches.admin.batches.rungs import Rungs, rungs_of
from batches.admin.batches.timing import Timing, is_left, timing_of
from batches.admin.charts import Chart
from batches.admin.samples import samples_of
from batches.formats import share
from batches.leases.waiting import WaitingNow, waiting_of
from batches.lifecycle import RETRYABLE, TERMINAL, BatchStatus
from batches.limits.prices import cost_of
from batches.models import Batch

FIRST_RESULTS = 10

COLOURS = {
    BatchStatus.COMPLETED: "good",
    BatchStatus.FAILED: "bad",
    BatchStatus.EXPIRED: "bad",
    BatchStatus.CANCELLED: "quiet",
    BatchStatus.CANCELLING: "warn",
}


@dataclass(frozen=True, slots=True)
class ShownProgress:
    """Progress of a batch, in per cent of its prompts."""

    succeeded: float
    failed: float
    done: int
    total: int
    # Prompts that failed or never ran: a retry sends them.
    unanswered: int

    @property
    def percent(self) -> float:
        return share(self.done, self.total)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Actions that the user may take on the batch in its current state."""

    rename: bool
    again: bool
    cancel: bool
    retry: bool
    pause: bool
    resume: bool
    delete: bool
    results: bool


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """The changing parts of the page of a batch."""

    batch: Batch
    colour: str
    live: bool
    # Started by a command that is not running now; workers do not claim the batch.
    left: bool
    waiting: WaitingNow | None
    progress: ShownProgress
    timing: Timing
    cost: Decimal | None
    charts: list[Chart]
    sampled: bool
    failures: Failures
    rungs: Rungs
    results: list[ShownRow]
    allowed: Allowed


def batch_page(batch: Batch, request: HttpRequest) -> ShownBatch:
    """Load the page of a batch for a user, in a bounded number of queries."""
    samples = samples_of(batch)
    left = is_left(batch)
    permitted = allowed_to(batch, request, left=left)
    return ShownBatch(
        batch=batch,
        colour=colour_of(batch),
        live=batch.status not in TERMINAL,
        left=left,
        waiting=None if left else waiting_of(batch),
        progress=progress_of(batch),
        timing=timing_of(batch, samples),
        cost=cost_of(batch),
        charts=charts_of(batch, samples),
        sampled=samples.weight > 1,
        failures=failures_of(batch),
        rungs=rungs_of(batch),
        results=rows_of(batch, Filter(), after=-1, limit=FIRST_RESULTS)
        if permitted.results
        else [],
        allowed=permitted,
    )


def progress_of(batch: Batch) -> ShownProgress:
    """Compute the progress of a batch from the counts in its row."""
    return ShownProgress(
        succeeded=share(batch.succeeded, batch.total),
        failed=share(batch.failed, batch.total),
        done=batch.succeeded + batch.failed,
        total=batch.total,
        unanswered=batch.total - batch.succeeded,
    )


def colour_of(batch: Batch) -> str:
    """Return the colour of the status of a batch."""
    if (batch.pause_reason or batch.provider.pause_reason) and batch.status not in TERMINAL:
        return "warn"
    return COLOURS.get(BatchStatus(batch.status), "busy")


def allowed_to(batch: Batch, request: HttpRequest, *, left: bool) -> Allowed:
    """Return the actions that a user may take on a batch in its current state."""
    may_change = request.user.has_perm("batches.change_batch")
    running = batch.status in {BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS}
    never_ran = batch.total - batch.succeeded - batch.failed
    may_read = request.user.has_perm("batches.view_result")
    return Allowed(
        rename=may_change,
        again=may_read and request.user.has_perm("batches.add_batch") and batch.total > 0,
        cancel=may_change and running,
        pause=may_change and running and not left and not batch.pause_reason,
        retry=may_change and batch.status in RETRYABLE and batch.failed + never_ran > 0,
        resume=may_change and running and (left or bool(batch.pause_reason)),
        delete=request.user.has_perm("batches.delete_batch") and batch.status in TERMINAL,
        results=may_read,
    )
