"""End batches: completed when all chunks are done, cancelled or expired when no runner is left."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q
from django.db.models.functions import Now

from batches.database import connection, transaction
from batches.ending.report import Report, make_report
from batches.engine.errors import FailureKind
from batches.leases.batches import BatchLease, claim_batch, leased, release_batch
from batches.leases.chunks import ClosedChunk, close_unheld
from batches.leases.renewal import renewed
from batches.lifecycle import RETRYABLE, BatchStatus
from batches.models import Batch, BatchQuerySet, Chunk, Prompt, Result
from batches.models.statements import Statement, hole, query_of
from batches.output.files import close_outputs
from batches.reuse.equal_requests import answer_equals, settle_equals
from batches.signals import prompt_finished, send_after_commit
from batches.webhooks.deliveries import end_batch
from batches.writeback.host_work import or_unwritten

logger = logging.getLogger(__name__)

CHUNKS_AT_ONCE = 100

# The final status of a batch without open chunks. If it is in progress, it has expired prompts.
_ENDS = {
    BatchStatus.IN_PROGRESS: BatchStatus.EXPIRED,
    BatchStatus.FINALIZING: BatchStatus.COMPLETED,
    BatchStatus.CANCELLING: BatchStatus.CANCELLED,
}

_OPEN = Q(Exists(Chunk.objects.unfinished().filter(batch_id=OuterRef("pk"))))
# With the status, the database finds them by an index, and does not read a million results.
_SOME_EXPIRED = Q(
    Exists(
        Result.objects.filter(
            batch_id=OuterRef("pk"), status=Result.FAILED, kind=FailureKind.EXPIRED
        )
    )
)

# Prompts that were cancelled or have expired count as neither.
_UNANSWERED = ~Q(reuse="off") & Q(total__gt=F("succeeded") + F("failed"))
_DUE = ~_OPEN & (~Q(status=BatchStatus.IN_PROGRESS) | _SOME_EXPIRED)

_MESSAGES = {
    FailureKind.CANCELLED: "This request could not be executed before the batch was cancelled.",
    # The wording of the hosted API, which programs compare.
    FailureKind.EXPIRED: (
        "This request could not be executed before the completion window expired."
    ),
}


@dataclass(frozen=True, slots=True)
class EndState:
    """The status of a batch, and whether it is overdue, has open chunks, and has prompts without a
    result that may have waited for equal ones."""

    status: str = ""
    is_overdue: bool = False
    is_open: bool = False
    has_unanswered: bool = False


_STATE = Statement(
    lambda: query_of(
        Batch.objects.filter(pk=hole("batch"))
        .annotate(is_overdue=ExpressionWrapper(Q(expires_at__lte=Now()), BooleanField()))
        .annotate(is_open=ExpressionWrapper(_OPEN, BooleanField()))
        .annotate(has_unanswered=ExpressionWrapper(_UNANSWERED, BooleanField()))
        .values_list("status", "is_overdue", "is_open", "has_unanswered")
    )
)


def _state_of(batch_id: int) -> EndState:
    """Return the state of a batch; an empty one if it is gone."""
    rows = _STATE.rows(batch=batch_id)
    return next((EndState(status, *map(bool, others)) for status, *others in rows), EndState())


def finish_batch(batch_id: int) -> bool:
    """End a batch if nothing is left to do; return True if it has ended.

    Any number of callers is safe, and each step may have been done by another caller. A caller that
    vanishes loses nothing: the next one starts at the top.
    """
    this = Batch.objects.filter(pk=batch_id)
    state = _state_of(batch_id)
    # 0. Prompts that waited for the answers to equal requests get them; if one has none, it is open
    #    again.
    if state.has_unanswered and not state.is_open and state.status in _ENDS:
        # It may be purged meanwhile.
        for batch in this.only("reuse"):
            settle_equals(batch)
        state = _state_of(batch_id)
    # 1. A batch that was cancelled or has expired: close the open prompts, except in chunks that a
    #    runner still holds. The last runner to leave finishes.
    if state.is_open and state.status == BatchStatus.CANCELLING:
        _close_open_chunks(this.filter(status=BatchStatus.CANCELLING), FailureKind.CANCELLED)
        state = _state_of(batch_id)
    elif state.is_open and state.is_overdue:
        _close_open_chunks(this.overdue(), FailureKind.EXPIRED)
        state = _state_of(batch_id)
    # From here on, only a batch that has a result for every prompt.
    if state.is_open or state.status not in _ENDS:
        return state.status in RETRYABLE
    ready = this.filter(~_OPEN)
    # 2. A batch that was cancelled while its input was read: end it, there is nothing to report.
    if state.status == BatchStatus.CANCELLING:
        unread = ready.filter(total=0)
        end_batch(batch_id, unread, BatchStatus.CANCELLED, sources={BatchStatus.CANCELLING})
    # 3. A batch that was done in time: finalize it, so that it can be neither cancelled nor expire.
    if state.status == BatchStatus.IN_PROGRESS:
        ready.exclude(_SOME_EXPIRED).move(BatchStatus.FINALIZING, sources={BatchStatus.IN_PROGRESS})
    # 4. Report on the batch and end it, one caller at a time. If it was cancelled meanwhile, the
    #    report is not stored: start again. If it is in progress and its last chunk was completed
    #    just now, it has not expired, and the runner of that chunk finalizes it.
    while lease := claim_batch(batch_id, statuses=_ENDS, among=_DUE):
        if _report_and_end(lease):
            return True
    # 5. Say how it stands, whichever caller ended it.
    return this.filter(status__in=RETRYABLE).exists()


def fail_input(
    batches: BatchQuerySet, batch_id: int, errors: Sequence[Mapping[str, object]]
) -> bool:
    """Fail the batch of a queryset because of its input; return True if it was validating."""
    return end_batch(
        batch_id,
        batches,
        BatchStatus.FAILED,
        sources={BatchStatus.VALIDATING},
        errors=list(errors),
    )


def _report_and_end(lease: BatchLease) -> bool:
    """Read all results of a batch and end it; return False if its status changed meanwhile."""
    batch = leased(lease).first()
    ended = False
    try:
        if batch is not None:
            with renewed(lease):
                report = make_report(batch)
            ended = _end_with_report(batch, report, lease)
            if ended:
                _log_performance(batch, report)
    finally:
        if not ended:
            release_batch(lease)
    return ended


def _end_with_report(batch: Batch, report: Report, lease: BatchLease) -> bool:
    source = BatchStatus(batch.status)
    sizes = {"output_bytes": report.output_bytes, "error_bytes": report.error_bytes}
    values = {"report": report.as_dict(), "ingest_expires_at": None}
    with transaction.atomic():
        ended = end_batch(batch.pk, leased(lease), _ENDS[source], sources={source}, **values)
        if ended:
            close_outputs(batch, **sizes)
    return ended


def _log_performance(batch: Batch, report: Report) -> None:
    logger.info(
        "%s processed %d prompts: %d succeeded, %d failed; %s",
        batch,
        batch.total,
        batch.succeeded,
        batch.failed,
        report.timing.describe(),
    )


def _close_open_chunks(over: BatchQuerySet, kind: FailureKind) -> None:
    """Mark the open prompts of unleased chunks as cancelled or expired, while their batch is over:
    it may have ended and been retried meanwhile."""
    while or_unwritten(partial(_close_some, over, kind)):
        pass


def _close_some(over: BatchQuerySet, kind: FailureKind, unwritten: str) -> bool:
    """Close the next chunks; return False if there is none."""
    with transaction.atomic():
        closed = close_unheld(over, most=CHUNKS_AT_ONCE)
        batches = over.exclude(reuse="off").only("reuse").in_bulk({c.batch_id for c in closed})
        for chunk in closed:
            if batch := batches.get(chunk.batch_id):
                answer_equals(batch, chunk.lo, chunk.hi, unwritten=unwritten)
            _announce_closed(chunk)
            _close_prompts(chunk.batch_id, chunk.lo, chunk.hi, kind)
    return bool(closed)


def _announce_closed(chunk: ClosedChunk) -> None:
    """Send the signal about the open prompts of a chunk, which get results next."""
    if prompt_finished.has_listeners(Batch):
        mine = Prompt.objects.filter(index__gte=chunk.lo, index__lt=chunk.hi, result=None)
        ids = list(mine.filter(batch=chunk.batch_id).values_list("pk", flat=True))
        if ids:
            send_after_commit(prompt_finished, Batch, batch_id=chunk.batch_id, prompt_ids=ids)


def _close_prompts(batch_id: int, lo: int, hi: int, kind: FailureKind) -> None:
    results, prompts = Result._meta.db_table, Prompt._meta.db_table
    index = connection.ops.quote_name("index")
    with connection.cursor() as cursor:
        # Insert inside the database, since there may be a million. All names are constants.
        cursor.execute(
            f"INSERT INTO {results} (prompt_id, batch_id, {index}, status, kind, code, message, "  # noqa: S608 - the names are our own
            f"request_id, finish_reason, input_tokens, output_tokens, calls, elapsed_s, done_at) "
            f"SELECT p.id, p.batch_id, p.{index}, 'failed', %s, %s, %s, '', '', 0, 0, 0, 0.0, "
            f"CURRENT_TIMESTAMP FROM {prompts} p LEFT JOIN {results} r ON r.prompt_id = p.id "
            f"WHERE p.batch_id = %s AND p.{index} >= %s AND p.{index} < %s "
            f"AND r.prompt_id IS NULL",
            [kind.value, kind.value, _MESSAGES[kind], batch_id, lo, hi],
        )
