"""What failed and why: by kind, with examples. Of a great many the first ones are looked at."""

from dataclasses import dataclass

from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber

from batches.ending.report import stored_report
from batches.models import Batch, Result

LOOKED_AT = 10_000
EXAMPLES = 3

ADVICE = {
    "rejected": "The prompt could not be made into a request. Retrying does not help.",
    "auth": "The provider refuses the key. Look at the provider's page.",
    "quota": "The account at the provider is used up.",
    "rate": "The provider asked for a slower pace than was possible.",
    "overload": "The provider had no capacity.",
    "server": "The provider failed inside.",
    "network": "The provider could not be reached, or the connection broke.",
    "timeout": "No whole answer came in time. More seconds for each call may help.",
    "malformed": "What came was no reply.",
    "request": "The provider will never take this request as it is.",
    "config": "Unknown model or address. Look at the provider's page.",
    "internal": "A defect of ours; the log tells more.",
    "refusal": "The model refused to answer.",
    "truncated": "The answer was cut off. Allow it more tokens.",
    "filtered": "A content filter stopped the answer.",
    "empty": "The answer was empty.",
    "not_json": "JSON was asked for, and something else came.",
    "schema_violation": "The answer does not fit its schema.",
    "cancelled": "Never sent: the batch was cancelled.",
    "expired": "Never sent: the time was over.",
    "worker_crashed": "Sending it took down its worker, again and again.",
    "unstorable": "The reply could not be stored as it came; what could be kept of it is here.",
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
    """All of them, most first; `partial` if there are more than were looked at."""

    groups: list[FailureGroup]
    partial: bool = False


def failures_of(batch: Batch) -> Failures:
    """The failures of a batch by kind, in two queries of bounded cost."""
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
    """The first few prompts of each kind."""
    place = Window(RowNumber(), partition_by=F("kind"), order_by=F("index").asc())
    rows = failed.annotate(place=place).filter(place__lte=EXAMPLES).order_by("index")
    found: dict[str, list[Example]] = {}
    columns = rows.values_list("kind", "index", "prompt__custom_id", "message")
    for kind, index, custom_id, message in columns:
        found.setdefault(kind, []).append(Example(index, custom_id, message))
    return found
