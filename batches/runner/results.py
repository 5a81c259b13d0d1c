"""Store outcomes in one transaction, with the fence of their chunks and the batch's counts."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db.models import Case, Count, DecimalField, F, FloatField, IntegerField, Value, When
from django.db.models.functions import Coalesce, Greatest

from batches.bulk import insert_rows
from batches.database import connection, transaction
from batches.engine.plain_text import storable_text
from batches.engine.records import Outcome
from batches.engine.text.json_text import storable
from batches.leases.chunks import Lease, complete, hold, is_done, reopen
from batches.limits.asked_models import asked_text
from batches.models import Batch, Result
from batches.models.bounds import (
    IDS_IN_A_QUERY,
    Unstorable,
    added,
    added_cost,
    bounded_cost,
    bounded_count,
    bounded_seconds,
    bounded_sum,
    bounded_total,
    long_text,
    short_text,
)
from batches.models.statements import Compiled, Statement, hole, query_of, update_of
from batches.output.jsonl import LINE_FORMAT, ResultRow, bytes_of_lines
from batches.reuse.equal_requests import lacks_first
from batches.signals import prompt_finished, send_after_commit

logger = logging.getLogger(__name__)

ZERO = Decimal(0)

# A warning of a batch, in the same form as a warning about its input.
ESTIMATED = {
    "code": "usage_estimated",
    "message": "The provider did not count the tokens of some replies. They are estimated at 4 "
    "characters for each token, and the estimates count towards the budgets and the cost.",
    "param": None,
    "line": None,
}

COLUMNS = (
    "prompt_id",
    "batch_id",
    "index",
    "status",
    "kind",
    "code",
    "message",
    "status_code",
    "request_id",
    "body",
    "parsed",
    "rung",
    "rejected",
    "escalation",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "calls",
    "latency_s",
    "elapsed_s",
    "done_at",
)


# Called with the ids of prompts whose results are stored, in the same transaction.
WriteBack = Callable[[Sequence[int]], object]


@dataclass(frozen=True, slots=True)
class ChunkOutcomes:
    """New outcomes of one chunk, with prompt ids and costs by index; `done` if it is complete."""

    lease: Lease
    outcomes: Sequence[Outcome]
    prompt_ids: Mapping[int, int]
    done: bool
    costs: Mapping[int, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Activity:
    """A period of work of one runner, and the time of its first answer; Unix times."""

    since: float
    until: float
    first_answer: float | None


@dataclass(frozen=True, slots=True)
class Clock:
    """Convert monotonic times of a run to Unix times, even if the system clock is changed."""

    offset: float

    def unix(self, monotonic: float) -> float:
        return self.offset + monotonic


def store_outcomes(
    batch_id: int,
    chunks: Sequence[ChunkOutcomes],
    *,
    activity: Activity,
    clock: Clock,
    lease_seconds: float,
    again: bool = False,
    equals_wait: bool = False,
    write_back: WriteBack | None = None,
) -> list[Lease]:
    """Store outcomes and renew the leases, all or nothing; return the leases that were lost.

    Outcomes of a chunk whose lease is lost are dropped: its new runner stores its own outcomes.
    `again` means that an earlier, failed attempt may have been committed: rows that it stored are
    left out. With `equals_wait`, a done chunk may have prompts that wait for equal ones.
    `write_back` is called with the prompts whose results are inserted, in the same transaction.
    """
    lost: list[Lease] = []
    kept: list[tuple[Outcome, int]] = []
    with transaction.atomic():
        # All runners lock in the same order, so that they cannot deadlock.
        for chunk in sorted(chunks, key=lambda chunk: chunk.lease.chunk_id):
            lease = chunk.lease
            held = complete(lease) if chunk.done else hold(lease, seconds=lease_seconds)
            if held or (again and chunk.done and is_done(lease)):
                kept += [(outcome, chunk.prompt_ids[outcome.index]) for outcome in chunk.outcomes]
            else:
                lost.append(lease)
        if again:
            kept = _not_stored(kept)
        if kept:
            size = _insert(batch_id, kept, clock)
            ids = [prompt_id for _, prompt_id in kept]
            send_after_commit(prompt_finished, Batch, batch_id=batch_id, prompt_ids=ids)
            if write_back is not None:
                # Before the batch is updated, so that other runners do not wait for its row.
                write_back(ids)
            costs = {index: cost for chunk in chunks for index, cost in chunk.costs.items()}
            _count(batch_id, [outcome for outcome, _ in kept], costs, activity, output_bytes=size)
            if any(outcome.usage.is_estimated for outcome, _ in kept):
                _warn_of_estimates(batch_id)
        done = [chunk.lease for chunk in chunks if chunk.done and chunk.lease not in lost]
        _check_complete(batch_id, done, equals_wait=equals_wait)
    return lost


def _check_complete(batch_id: int, leases: Sequence[Lease], *, equals_wait: bool) -> None:
    """Reopen a completed chunk that lacks results: no runner would ever claim it again."""
    for lease in leases:
        [(stored,)] = _STORED.rows(batch=batch_id, lo=lease.lo, hi=lease.hi) or [(0,)]
        if stored == lease.hi - lease.lo:
            continue
        if not equals_wait or lacks_first(batch_id, lease.lo, lease.hi):
            logger.error("Chunk %d was reported done but lacks results; rerunning", lease.chunk_id)
            reopen(lease)


def _not_stored(kept: Sequence[tuple[Outcome, int]]) -> list[tuple[Outcome, int]]:
    ids = [prompt_id for _, prompt_id in kept]
    stored: set[int] = set()
    for start in range(0, len(ids), IDS_IN_A_QUERY):
        some = Result.objects.filter(pk__in=ids[start : start + IDS_IN_A_QUERY])
        stored.update(some.values_list("pk", flat=True))
    return [(outcome, prompt_id) for outcome, prompt_id in kept if prompt_id not in stored]


def _insert(batch_id: int, kept: Sequence[tuple[Outcome, int]], clock: Clock) -> int:
    """Insert results; return the bytes that they add to the output file."""
    rows = [_row(batch_id, prompt_id, outcome, clock) for outcome, prompt_id in kept]
    insert_rows(Result._meta.db_table, COLUMNS, rows)
    return bytes_of_lines(
        _line_row(outcome.custom_id, row)
        for (outcome, _), row in zip(kept, rows, strict=True)
        if outcome.succeeded
    )


def _line_row(custom_id: str, row: Sequence[Any]) -> ResultRow:
    prompt_id, _, index, *line = row[: COLUMNS.index("rung") + 1]
    return ResultRow(prompt_id, index, custom_id, *line)


def _row(batch_id: int, prompt_id: int, outcome: Outcome, clock: Clock) -> tuple[Any, ...]:
    called = outcome.done_at is not None and outcome.calls > 0
    done_at = clock.unix(outcome.done_at or time.monotonic())
    return (
        prompt_id,
        batch_id,
        outcome.index,
        outcome.status,
        outcome.kind.value if outcome.kind else "",
        short_text(Result, "code", outcome.code),
        long_text("message", outcome.message),
        outcome.status_code,
        short_text(Result, "request_id", outcome.request_id),
        long_text("body", outcome.body),
        parsed_text(outcome),
        outcome.rung.value if outcome.rung else "",
        rejected_text(outcome),
        asked_text(outcome.asked),
        short_text(Result, "finish_reason", outcome.finish_reason),
        bounded_count(outcome.usage.input_tokens),
        bounded_count(outcome.usage.output_tokens),
        bounded_count(outcome.calls),
        bounded_seconds(outcome.latency_s) if called else None,
        bounded_seconds(outcome.elapsed_s),
        connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(done_at, UTC)),
    )


def parsed_text(outcome: Outcome) -> str | None:
    """Return the parsed value of an answer as JSON text; None if no schema was given.

    Raise Unstorable if the value cannot be written as JSON.
    """
    if outcome.rung is None:
        return None
    try:
        text = json.dumps(outcome.parsed, ensure_ascii=False, separators=(",", ":"))
        return long_text("parsed", storable(storable_text(text).encode()))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unstorable(f"parsed cannot be written as JSON: {error}") from error


def rejected_text(outcome: Outcome) -> str | None:
    """Return the answers that were sent back with their errors, as JSON; None if there are none."""
    if not outcome.rejected:
        return None
    pairs = [[storable_text(one.answer), storable_text(one.errors)] for one in outcome.rejected]
    return json.dumps(pairs, ensure_ascii=False, separators=(",", ":"))


def _count(
    batch_id: int,
    outcomes: Sequence[Outcome],
    costs: Mapping[int, Decimal],
    activity: Activity,
    *,
    output_bytes: int,
) -> None:
    usages = [outcome.usage for outcome in outcomes]
    succeeded = sum(outcome.succeeded for outcome in outcomes)
    cost = sum((bounded_cost(costs.get(o.index, ZERO)) for o in outcomes), ZERO)
    statement = _COUNT if activity.first_answer is None else _COUNT_ANSWERED
    statement.run(
        batch=batch_id,
        succeeded=succeeded,
        failed=len(outcomes) - succeeded,
        calls=bounded_total(outcome.calls for outcome in outcomes),
        input_tokens=bounded_total(usage.input_tokens for usage in usages),
        output_tokens=bounded_total(usage.output_tokens for usage in usages),
        cached_tokens=bounded_total(usage.cached_tokens for usage in usages),
        reasoning_tokens=bounded_total(usage.reasoning_tokens for usage in usages),
        cost=connection.ops.adapt_decimalfield_value(bounded_cost(cost)),
        busy_s=sum(bounded_seconds(outcome.busy_s) for outcome in outcomes),
        output_bytes=output_bytes,
        since=activity.since,
        until=activity.until,
        first_answer=activity.first_answer,
    )


def _counted(*, answered: bool) -> Compiled:
    """Compile the update that adds to the counts of a batch."""
    first_result = Coalesce(F("first_result_s"), F("active_s") + _added("first_answer"))
    changes = {"first_result_s": first_result} if answered else {}
    output_bytes = F("output_bytes") + hole("output_bytes", IntegerField())
    sums = ("calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    return update_of(
        Batch.objects.filter(pk=hole("batch")),
        succeeded=F("succeeded") + hole("succeeded", IntegerField()),
        failed=F("failed") + hole("failed", IntegerField()),
        **{name: added(name, hole(name, IntegerField())) for name in sums},
        cost=added_cost("cost", hole("cost", DecimalField(), sql="CAST(%s AS NUMERIC)")),
        busy_s=bounded_sum(F("busy_s") + hole("busy_s", FloatField())),
        active_s=bounded_sum(F("active_s") + _added("until")),
        active_until=Greatest(F("active_until"), hole("until", FloatField())),
        output_bytes=Case(When(output_format=LINE_FORMAT, then=output_bytes), default=None),
        **changes,
    )


_COUNT = Statement(partial(_counted, answered=False))
# With the time of the first answer, unless the batch has one.
_COUNT_ANSWERED = Statement(partial(_counted, answered=True))
# The number of results of a chunk.
_STORED = Statement(
    lambda: query_of(
        Result.objects.between(hole("batch"), hole("lo"), hole("hi"))
        .values("batch_id")
        .annotate(stored=Count("pk"))
        .values_list("stored")
    )
)


def _warn_of_estimates(batch_id: int) -> None:
    """Add the warning about estimated tokens to the batch, once.

    The batch's counts are updated first, so its row is locked and no other runner can add it too.
    """
    this = Batch.objects.filter(pk=batch_id)
    warnings = this.values_list("warnings", flat=True).first()
    if warnings is not None and ESTIMATED not in warnings:
        this.update(warnings=[*warnings, ESTIMATED])


def _added(until: str) -> Any:
    """Return the active time that a period adds until the time in this hole, without time that
    others have counted."""
    counted = Greatest(F("active_until"), hole("since", FloatField()))
    return Greatest(Value(0.0), hole(until, FloatField()) - counted)
