"""The report of a batch: figures that need every result, stored once when the batch ends."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count

from batches.engine.timing import TimingStats, timing_stats
from batches.models import Batch, Result
from batches.output.jsonl import LINE_FORMAT, json_lines

LATENCIES_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Report:
    """The timing of a batch, its failed prompts by kind, its answers by rung, the prompts that were
    asked of a stronger model and how many of them succeeded, and the sizes of its files with lines
    in this format."""

    timing: TimingStats
    failures: dict[str, int]
    rungs: dict[str, int]
    escalated: int = 0
    escalated_succeeded: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    line_format: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def make_report(batch: Batch) -> Report:
    """Read every result and return the report."""
    failures = failures_by_kind(batch)
    escalated, succeeded = escalated_prompts(batch)
    return Report(
        timing=batch_timing(batch),
        failures=failures,
        rungs=answers_by_rung(batch),
        escalated=escalated,
        escalated_succeeded=succeeded,
        output_bytes=_output_bytes(batch),
        error_bytes=_bytes_of(batch, Result.FAILED) if failures else 0,
        line_format=LINE_FORMAT,
    )


def stored_report(batch: Batch) -> Report | None:
    """Return the report stored at the end of the batch; None if it has not ended."""
    if batch.report is None:
        return None
    stored = batch.report
    return Report(
        **{
            **stored,
            "timing": TimingStats(**stored["timing"]),
            # A database may reorder the entries of an object.
            "failures": dict(sorted(stored["failures"].items(), key=_most_first)),
        }
    )


def failures_by_kind(batch: Batch) -> dict[str, int]:
    """Return the number of failed prompts by kind, most frequent first."""
    failed = Result.objects.filter(batch=batch, status=Result.FAILED)
    counted = failed.values_list("kind").annotate(n=Count("pk")).order_by("-n", "kind")
    return dict(counted)


def answers_by_rung(batch: Batch) -> dict[str, int]:
    """Return the number of valid answers by rung of the ladder."""
    answered = Result.objects.filter(batch=batch, status=Result.SUCCEEDED).exclude(rung="")
    return dict(answered.order_by("rung").values_list("rung").annotate(n=Count("pk")))


def escalated_prompts(batch: Batch) -> tuple[int, int]:
    """Return the number of prompts that were asked of a stronger model, and how many of them
    succeeded."""
    if not batch.escalate:
        return 0, 0
    asked = Result.objects.filter(batch=batch, escalation__isnull=False)
    counted = asked.order_by("status").values_list("status").annotate(n=Count("pk"))
    by_status = dict(counted)
    return sum(by_status.values()), by_status.get(Result.SUCCEEDED, 0)


def batch_timing(batch: Batch) -> TimingStats:
    """Return the timing of a batch; its total is the time in which the batch was running."""
    return timing_stats(
        (latency for latency in _latencies(batch) if latency is not None),
        busy_s=batch.busy_s,
        total_s=batch.active_s,
        first_result_s=batch.first_result_s,
    )


def _latencies(batch: Batch) -> Iterator[float | None]:
    """Yield the latencies of a batch, read in pages along an index.

    `iterator()` is not used: its cursor lives in a session, which a pooler may give to another
    client.
    """
    for status in (Result.SUCCEEDED, Result.FAILED):
        results = Result.objects.filter(batch=batch, status=status).order_by("index")
        places = results.values_list("index", "latency_s")
        after = -1
        while page := list(places.filter(index__gt=after)[:LATENCIES_AT_ONCE]):
            after = page[-1][0]
            yield from (latency for _, latency in page)
            if len(page) < LATENCIES_AT_ONCE:
                break


def _output_bytes(batch: Batch) -> int:
    """Return the bytes of the output file, as counted when the results were stored."""
    if batch.output_bytes is not None and batch.output_format == LINE_FORMAT:
        return batch.output_bytes
    # A batch of an earlier version, or with results of one.
    return _bytes_of(batch, Result.SUCCEEDED)


def _bytes_of(batch: Batch, status: str) -> int:
    return sum(len(lines.encode()) for lines in json_lines(batch, status=status))


def _most_first(entry: tuple[str, int]) -> tuple[int, str]:
    return -entry[1], entry[0]
