"""The batch object of the API: OpenAI's object with additional fields."""

from datetime import datetime, timedelta
from typing import Any, Literal

from django.db.models import QuerySet
from pydantic import BaseModel

from batches.api.fields import BatchId, FileId, ModelName, RareText, RareTime, Secret, Time, shown
from batches.api.http.json_items import FirstItems
from batches.api.http.pages import Page
from batches.ending.pilot import PilotReport, pilot_report
from batches.ending.report import Report, stored_report
from batches.engine.records import AnswerKind, Order, Reuse, Schedule
from batches.engine.timing import TimingStats
from batches.inputs.row_templates.sources import TemplateMessage
from batches.leases.pilot_status import PilotStatus, pilot_status, with_gate
from batches.leases.waiting import waiting_of, with_waiting
from batches.lifecycle import TERMINAL, BatchStatus
from batches.limits.prices import saved_cost
from batches.models import Batch, Template
from batches.net.addresses import without_addresses
from batches.output.files import error_id, output_id

LISTED_ERRORS = 10
# Not in lists.
LONG_FIELDS = ("errors", "defaults", "columns", "template__messages")


class BatchError(BaseModel):
    """An error in a line of the input, or in the input as a whole."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchErrors(BaseModel):
    """The errors found by validation. A list of batches has the first ten; the batch has all."""

    object: Literal["list"] = "list"
    data: list[BatchError]
    has_more: bool = False


class RequestCounts(BaseModel):
    """Numbers of prompts. A prompt that never ran does not count as failed."""

    total: int = shown(2)
    completed: int = shown(2)
    failed: int


class InputTokensDetails(BaseModel):
    cached_tokens: int


class OutputTokensDetails(BaseModel):
    reasoning_tokens: int


class BatchUsage(BaseModel):
    """Tokens, as counted by the provider."""

    input_tokens: int = shown(14)
    input_tokens_details: InputTokensDetails
    output_tokens: int = shown(52)
    output_tokens_details: OutputTokensDetails
    total_tokens: int = shown(66)


class BatchTiming(BaseModel):
    """Times in seconds. `total_s` is the time in which the batch was running; `speed_up` is
    relative to one call at a time. The percentiles are set after the batch has ended, and `eta_s`
    before."""

    first_result_s: float | None = shown(0.4)
    total_s: float = shown(0.9)
    average_s: float | None = shown(0.6)
    p50_s: float | None = shown(0.6)
    p95_s: float | None = shown(0.9)
    p99_s: float | None = shown(0.9)
    prompts_per_s: float | None = shown(2.2)
    speed_up: float | None = shown(1.4)
    eta_s: float | None = shown(None)


class BatchWaiting(BaseModel):
    """The reason why a batch makes no progress: its provider does not answer, calls are retried,
    or no worker is free. `next` is the time of the next call. Times are Unix times."""

    reason: str = shown("The provider does not answer.")
    since: Time | None
    next: Time | None


class BatchTemplate(BaseModel):
    """A version of a template, which makes a prompt of each row of a table. Equal messages under
    one name are one version. A list of batches has no messages."""

    name: str | None = shown("reviews")
    version: int = shown(1)
    messages: list[TemplateMessage] | None


class Range(BaseModel):
    """A projected sum over the whole batch, with an interval of 90 % confidence."""

    likely: float = shown(12.4)
    low: float = shown(11.1)
    high: float = shown(14.2)


class PilotFigures(BaseModel):
    """The report on a pilot: the prompts with a result, and how they ended. `fits` is the share of
    answers that fit their schema, or null without one. `cost` and `cost_per_row` are in dollars, or
    null if a price is unknown. `expected_s` is the time for the prompts that are left, or null if
    there are none."""

    prompts: int = shown(50)
    failed: int = shown(2)
    failures: dict[str, int] = shown({"timeout": 2})
    fits: float | None = shown(0.98)
    tokens_per_row: float = shown(620.0)
    cost_per_row: float | None = shown(0.00124)
    tokens: Range | None
    cost: Range | None
    expected_s: float | None = shown(1200.0)


class BatchSaved(BaseModel):
    """The answers to equal requests that were used again, and what they took when they were made.
    `cost` is in dollars, by the current price of the model, or null if none is known."""

    answers: int = shown(120)
    input_tokens: int = shown(840)
    output_tokens: int = shown(3120)
    cost: float | None = shown(0.0012)


class BatchEscalation(BaseModel):
    """A model that is asked if the answer of a model before it fails in one of these kinds."""

    model: ModelName
    when: list[AnswerKind]


class BatchEscalated(BaseModel):
    """The prompts that were asked of a stronger model, and how many of them succeeded."""

    prompts: int = shown(12)
    succeeded: int = shown(11)


class BatchPilot(BaseModel):
    """The pilot of a batch. Its status is `running`, `done` (the batch waits until it is resumed),
    or `passed` (all prompts may run). A list of batches has no reports."""

    rows: int = shown(50)
    by: str | None = shown("country")
    continue_when: dict[str, float] | None = shown(None)
    status: PilotStatus = shown("done")
    report: PilotFigures | None


class BatchObject(BaseModel):
    """A batch. `model` is the model of all prompts, or null if there are several; `model_count` is
    the number of models, up to 1000, once the input is read. `failures`, `rungs` and `escalated`
    are counted when the batch has ended. `cost` is in dollars, for models with a known price."""

    id: BatchId
    object: Literal["batch"] = "batch"
    name: str | None = shown("Greetings")
    endpoint: str = shown("/v1/chat/completions")
    model: ModelName | None
    errors: BatchErrors | None = shown(None)
    input_file_id: RareText
    completion_window: RareText
    status: BatchStatus = shown("completed")
    output_file_id: FileId | None
    error_file_id: RareText
    created_at: Time
    in_progress_at: Time | None
    expires_at: RareTime
    finalizing_at: Time | None
    completed_at: Time | None
    failed_at: RareTime
    expired_at: RareTime
    cancelling_at: RareTime
    cancelled_at: RareTime
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None = shown({"project": "greetings"})
    callback_url: RareText

    model_count: int | None = shown(1)
    template: BatchTemplate | None = shown(None)
    provider: str = shown("simulated")
    pause_reason: RareText
    waiting: BatchWaiting | None = shown(None)
    warnings: list[Any] = shown([])
    batch_size: int = shown(100)
    schedule: Schedule
    order: Order
    reuse: Reuse
    reused: BatchSaved | None = shown(None)
    parallelism: int = shown(1)
    priority: int
    max_attempts: int = shown(5)
    timeout_s: float = shown(600.0)
    max_cost: float | None = shown(None)
    max_tokens_total: int | None = shown(None)
    pilot: BatchPilot | None = shown(None)
    stop_when: dict[str, float] | None = shown(None)
    escalate: list[BatchEscalation] | None = shown(None)
    escalated: BatchEscalated | None = shown(None)
    cost: float
    extract_json: bool
    repair_json: bool
    max_repair_attempts: int
    strict_schemas: bool
    timing: BatchTiming
    failures: dict[str, int] | None = shown({})
    rungs: dict[str, int] | None = shown({})


class CreatedBatch(BatchObject):
    """A new batch. With a `callback_url`, it includes the secret that signs its events. Only the
    response to the request that creates the batch has the secret, also if the request is repeated
    with its idempotency key."""

    callback_secret: Secret | None = None


class BatchPage(Page):
    """A page of batches."""

    data: list[BatchObject]


class DeletedBatch(BaseModel):
    """A deleted batch."""

    id: BatchId
    object: Literal["batch"] = "batch"
    deleted: Literal[True] = True


_TIMES = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)
_AS_STORED = (
    *("endpoint", "status", "warnings", "batch_size", "schedule", "order", "reuse"),
    *("parallelism", "priority", "max_tokens_total", "model_count", "stop_when", "escalate"),
    *("max_attempts", "timeout_s", "extract_json", "repair_json"),
    *("max_repair_attempts", "strict_schemas"),
)


def readable_batches() -> QuerySet[Batch]:
    """Return the batches that the API shows, with all shown fields in one query."""
    return with_gate(with_waiting(Batch.objects.whole())).filter(deleted_at=None)


def listed_batches() -> QuerySet[Batch]:
    """Return the same batches without their long fields."""
    short = {"first_errors": FirstItems("errors", most=LISTED_ERRORS + 1)}
    return readable_batches().defer(*LONG_FIELDS).annotate(**short)


def batch_object(batch: Batch) -> BatchObject:
    """Return the current state of a batch, from its row, and from the results of its pilot."""
    errors = BatchErrors(data=batch.errors) if batch.errors else None
    return _object(batch, errors=errors, pilot=pilot_report(batch), with_messages=True)


def listed_batch(batch: Batch) -> BatchObject:
    """Return the object for a row of `listed_batches`."""
    first = vars(batch)["first_errors"]
    errors = BatchErrors(data=first[:LISTED_ERRORS], has_more=len(first) > LISTED_ERRORS)
    return _object(batch, errors=errors if first else None)


def _object(
    batch: Batch,
    *,
    errors: BatchErrors | None,
    pilot: PilotReport | None = None,
    with_messages: bool = False,
) -> BatchObject:
    report = stored_report(batch)
    return BatchObject(
        id=batch.public_id,
        name=batch.name or None,
        model=batch.model or None,
        errors=errors,
        input_file_id=batch.input_file_public_id or None,
        completion_window=_window(batch.completion_window),
        output_file_id=output_id(batch),
        error_file_id=error_id(batch),
        created_at=int(batch.created_at.timestamp()),
        request_counts=RequestCounts(
            total=batch.total, completed=batch.succeeded, failed=batch.failed
        ),
        usage=_usage(batch),
        metadata=batch.metadata or None,
        callback_url=batch.callback_url or None,
        provider=batch.provider.name,
        template=_template(batch.template, with_messages=with_messages),
        pause_reason=without_addresses(batch.standstill) or None,
        waiting=_waiting(batch),
        max_cost=None if batch.max_cost is None else float(batch.max_cost),
        cost=float(batch.cost),
        pilot=_pilot(batch, pilot),
        reused=_reused(batch),
        escalated=_escalated(batch, report),
        timing=_timing(batch, report.timing if report else _timing_so_far(batch)),
        failures=report.failures if report else None,
        rungs=report.rungs if report else None,
        **{name: _unix(getattr(batch, name)) for name in _TIMES},
        **{name: getattr(batch, name) for name in _AS_STORED},
    )


def _template(template: Template | None, *, with_messages: bool) -> BatchTemplate | None:
    if template is None:
        return None
    messages = template.messages if with_messages else None
    return BatchTemplate(name=template.name or None, version=template.version, messages=messages)


def _unix(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _waiting(batch: Batch) -> BatchWaiting | None:
    found = waiting_of(batch)
    if found is None:
        return None
    times = {"since": found.since, "next": found.next}
    whole = {name: None if moment is None else int(moment) for name, moment in times.items()}
    return BatchWaiting(reason=without_addresses(found.reason), **whole)


def _pilot(batch: Batch, report: PilotReport | None) -> BatchPilot | None:
    status = pilot_status(batch)
    if status is None or batch.pilot_rows is None:
        return None
    figures = PilotFigures.model_validate(report.as_dict()) if report else None
    rules = batch.continue_when
    return BatchPilot(
        rows=batch.pilot_rows,
        by=batch.pilot_by or None,
        continue_when=rules,
        status=status,
        report=figures,
    )


def _reused(batch: Batch) -> BatchSaved | None:
    if batch.reuse == "off":
        return None
    cost = saved_cost(batch)
    return BatchSaved(
        answers=batch.reused,
        input_tokens=batch.saved_input_tokens,
        output_tokens=batch.saved_output_tokens,
        cost=None if cost is None else float(cost),
    )


def _escalated(batch: Batch, report: Report | None) -> BatchEscalated | None:
    if not batch.escalate or report is None:
        return None
    return BatchEscalated(prompts=report.escalated, succeeded=report.escalated_succeeded)


def _window(window: timedelta | None) -> str | None:
    return None if window is None else f"{round(window.total_seconds() / 3600)}h"


def _usage(batch: Batch) -> BatchUsage:
    return BatchUsage(
        input_tokens=batch.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=batch.cached_tokens),
        output_tokens=batch.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=batch.reasoning_tokens),
        total_tokens=batch.input_tokens + batch.output_tokens,
    )


def _timing_so_far(batch: Batch) -> TimingStats:
    """Return the timing from the counts of a batch; percentiles are computed when it ends."""
    done, total_s = batch.succeeded + batch.failed, batch.active_s
    return TimingStats(
        first_result_s=batch.first_result_s,
        total_s=total_s,
        average_s=batch.busy_s / batch.calls if batch.calls else None,
        prompts_per_s=done / total_s if total_s else None,
        speed_up=batch.busy_s / total_s if total_s else None,
    )


def _timing(batch: Batch, stats: TimingStats) -> BatchTiming:
    figures = stats.as_dict()
    del figures["answered"]
    left = batch.total - batch.succeeded - batch.failed
    going_on = batch.status not in TERMINAL and not batch.standstill
    eta_s = left / stats.prompts_per_s if going_on and stats.prompts_per_s else None
    return BatchTiming.model_validate(
        {**figures, "eta_s": None if eta_s is None else round(eta_s, 3)}
    )
