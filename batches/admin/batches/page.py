"""Content of the page of a batch; rebuilt every two seconds while the batch runs."""

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest

from batches.admin.batches.costs import likely_cost
from batches.admin.batches.escalated import Escalated, escalated_of
from batches.admin.batches.failures import Failures, failures_of
from batches.admin.batches.graphs import charts_of
from batches.admin.batches.results.result_rows import Filter, ShownRow, rows_of
from batches.admin.batches.row_answers import RowAnswers, row_answers_of
from batches.admin.batches.rungs import Rungs, rungs_of
from batches.admin.batches.timeline import Step, timeline_of
from batches.admin.batches.timing import Timing, is_left, is_paused, timing_of
from batches.admin.charts import Chart
from batches.admin.samples import samples_of
from batches.admin.templates.shown import ShownTemplate, template_of
from batches.ending.pilot import pilot_report
from batches.extras import is_installed
from batches.formats import count, share
from batches.leases.state import STOPPED, ShownState, state_of
from batches.leases.waiting import WaitingNow, waiting_of
from batches.lifecycle import RETRYABLE, TERMINAL, BatchStatus, PauseKind
from batches.limits.prices import cost_of, saved_cost
from batches.models import Batch
from batches.output.files import error_id, output_id

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
class Rerun:
    """A button that runs prompts again: the failed ones, or the others that never ran."""

    only: str
    label: str
    prompts: int
    cost: str


@dataclass(frozen=True, slots=True)
class ShownPilot:
    """The report on a pilot, with labels; `waits` if the batch waits until it is judged."""

    figures: list[tuple[str, str]]
    waits: bool
    # Prompts beyond the pilot that have no result, and failed ones that can be run again.
    left: int
    failed: int


@dataclass(frozen=True, slots=True)
class ShownBatch:
    """The changing parts of the page of a batch."""

    batch: Batch
    state: ShownState
    colour: str
    live: bool
    # Started by a command that is not running now; workers do not claim the batch.
    left: bool
    waiting: WaitingNow | None
    progress: ShownProgress
    timing: Timing
    cost: Decimal | None
    saved: Decimal | None
    charts: list[Chart]
    # The number of results that charts are drawn from, if that is not all of them.
    sampled: int
    timeline: list[Step]
    template: ShownTemplate | None
    files: list[tuple[str, str]]
    reruns: list[Rerun]
    pilot: ShownPilot | None
    failures: Failures
    rungs: Rungs
    rows: RowAnswers | None
    escalated: Escalated | None
    results: list[ShownRow]
    allowed: Allowed
    # Without, the link to a Parquet file leads to a message.
    has_parquet: bool


def batch_page(batch: Batch, request: HttpRequest) -> ShownBatch:
    """Load the page of a batch for a user, in a bounded number of queries."""
    samples = samples_of(batch)
    left = is_left(batch)
    about = row_answers_of(batch)
    permitted = allowed_to(batch, request, left=left, about_rows=about is not None)
    timing = timing_of(batch, samples)
    return ShownBatch(
        batch=batch,
        state=state_of(batch),
        colour=colour_of_state(batch),
        live=batch.status not in TERMINAL,
        left=left,
        waiting=None if left else waiting_of(batch),
        progress=progress_of(batch),
        timing=timing,
        cost=cost_of(batch),
        saved=saved_cost(batch) if batch.reused else None,
        charts=charts_of(batch, samples, timing.percentiles),
        sampled=len(samples.results) if samples.weight > 1 else 0,
        timeline=timeline_of(batch),
        template=template_of(batch, request),
        files=files_of(batch),
        reruns=reruns_of(batch) if permitted.retry else [],
        pilot=pilot_of(batch),
        failures=failures_of(batch),
        rungs=rungs_of(batch),
        rows=about,
        escalated=escalated_of(batch),
        results=rows_of(batch, Filter(), after=-1, limit=FIRST_RESULTS)
        if permitted.results
        else [],
        allowed=permitted,
        has_parquet=is_installed("tables"),
    )


def files_of(batch: Batch) -> list[tuple[str, str]]:
    """Return the IDs of the output files of a batch, by their name."""
    found = {"Output": output_id(batch), "Errors": error_id(batch)}
    return [(name, file_id) for name, file_id in found.items() if file_id]


def reruns_of(batch: Batch) -> list[Rerun]:
    """Return the ways to run prompts of an ended batch again, with their likely cost."""
    never_ran = batch.total - batch.succeeded - batch.failed
    ways = (
        ("failed", f"Retry {count(batch.failed)} failed", batch.failed),
        ("rest", f"Run the other {count(never_ran)}", never_ran),
    )
    return [
        Rerun(only, label, prompts, likely_cost(batch, prompts))
        for only, label, prompts in ways
        if prompts
    ]


def pilot_of(batch: Batch) -> ShownPilot | None:
    """Return the report on the pilot of a batch, if it has one."""
    report = pilot_report(batch)
    if report is None:
        return None
    return ShownPilot(
        figures=list(report.rows()),
        waits=is_paused(batch) and batch.pause_kind == PauseKind.PILOT,
        left=batch.total - batch.succeeded - batch.failed,
        failed=batch.failed,
    )


def progress_of(batch: Batch) -> ShownProgress:
    """Compute the progress of a batch from the counts in its row."""
    return ShownProgress(
        succeeded=share(batch.succeeded, batch.total),
        failed=share(batch.failed, batch.total),
        done=batch.succeeded + batch.failed,
        total=batch.total,
    )


def colour_of(batch: Batch) -> str:
    """Return the colour of the status of a batch."""
    if is_paused(batch) and batch.status not in TERMINAL:
        return "warn"
    return COLOURS.get(BatchStatus(batch.status), "busy")


def colour_of_state(batch: Batch) -> str:
    """Return the colour of the state of a batch from `with_state`."""
    return "warn" if state_of(batch).word == STOPPED else colour_of(batch)


def allowed_to(batch: Batch, request: HttpRequest, *, left: bool, about_rows: bool) -> Allowed:
    """Return the actions that a user may take on a batch in its current state.

    A batch about rows is not run again as another one, which would not write the rows.
    """
    may_change = request.user.has_perm("batches.change_batch")
    running = batch.status in {BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS}
    never_ran = batch.total - batch.succeeded - batch.failed
    may_read = request.user.has_perm("batches.view_result")
    has_prompts = batch.total > 0 or batch.input_file is not None
    may_copy = request.user.has_perm("batches.add_batch") and not about_rows
    return Allowed(
        rename=may_change,
        again=may_read and may_copy and has_prompts,
        cancel=may_change and running,
        pause=may_change and running and not left and not batch.pause_reason,
        retry=may_change and batch.status in RETRYABLE and batch.failed + never_ran > 0,
        resume=may_change and running and (left or bool(batch.pause_reason)),
        delete=request.user.has_perm("batches.delete_batch") and batch.status in TERMINAL,
        results=may_read,
    )
