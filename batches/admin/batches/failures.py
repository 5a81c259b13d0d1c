"""Failures of a batch by kind, with examples; of a running batch only the first 10,000 count."""

from dataclasses import dataclass

from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber

from batches.admin.samples import LOOKED_AT
from batches.ending.report import stored_report
from batches.models import Batch, Result

EXAMPLES = 3

ADVICE = {
    "rejected": "The prompt is not a valid request; retrying will not help. Fix the input.",
    "auth": "The provider rejected the API key. Check the key on the provider's page.",
    "quota": "The account at the provider has no quota left. Add credit, then retry.",
    "rate": "The provider's rate limit was exceeded, also after retries. Retry later.",
    "overload": "The provider had no capacity. Retry later.",
    "server": "Provider server error.",
    "network": "The provider could not be reached, or the connection was lost.",
    "timeout": "The call timed out. A longer timeout per call may help.",
    "malformed": "The response could not be read.",
    "request": "The provider rejected this request; it must be changed.",
    "config": "Unknown model or address. Check the provider's page.",
    "internal": "Internal error; see the worker log.",
    "refusal": "The model refused to answer.",
    "truncated": "The answer was cut off. Allow it more tokens.",
    "filtered": "A content filter blocked the answer.",
    "empty": "The answer was empty.",
    "not_json": "The answer is not JSON, although a schema was requested.",
    "schema_violation": "The answer does not fit its schema.",
    "cancelled": "Never sent: the batch was cancelled.",
    "expired": "Never sent: the batch expired.",
    "worker_crashed": "The worker crashed each time it ran this prompt.",
    "unstorable": "The reply could not be stored unchanged; the part that could be stored is here.",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt that failed."""

    index: int
    custom_id: str
    message: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The prompts that failed for one reason."""

    kind: str
    count: int
    advice: str
    examples: list[Example]


@dataclass(frozen=True, slots=True)
class Failures:
    """All groups, largest first; `partial` if only the first failures were counted."""

    groups: list[FailureGroup]
    partial: bool = False


def failures_of(batch: Batch) -> Failures:
    """Load the failures of a batch by kind, in two queries of bounded cost."""
    failed = Result.objects.filter(batch=batch, status=Result.FAILED)
    first = Result.objects.filter(pk__in=failed.order_by("index").values("pk")[:LOOKED_AT])
    report = stored_report(batch)
    counts = report.failures if report else _counts(first)
    examples = _examples(first) if counts else {}
    return Failures(
        [
            FailureGroup(kind, number, ADVICE.get(kind, ""), examples.get(kind, []))
            for kind, number in counts.items()
        ],
        partial=report is None and sum(counts.values()) >= LOOKED_AT,
    )


def _counts(failed: QuerySet[Result]) -> dict[str, int]:
    counted = failed.values_list("kind").annotate(n=Count("pk"))
    return dict(counted.order_by("-n", "kind"))


def _examples(failed: QuerySet[Result]) -> dict[str, list[Example]]:
    """Return the first few prompts of each kind."""
    place = Window(RowNumber(), partition_by=F("kind"), order_by=F("index").asc())
    rows = failed.annotate(place=place).filter(place__lte=EXAMPLES).order_by("index")
    found: dict[str, list[Example]] = {}
    columns = rows.values_list("kind", "index", "prompt__custom_id", "message")
    for kind, index, custom_id, message in columns:
        found.setdefault(kind, []).append(Example(index, custom_id, message))
    return found
