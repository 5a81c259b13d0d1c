"""Schema results: count answers by the rung of the ladder at which they fit, as the API does."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count

from batches.admin.samples import LOOKED_AT
from batches.ending.report import stored_report
from batches.engine.records import Rung
from batches.formats import share
from batches.models import Batch, Result

ABOUT = {
    Rung.PARSED: "valid as received",
    Rung.EXTRACTED: "found in prose or in a code fence",
    Rung.REPAIRED: "syntax repaired",
    Rung.ASKED_AGAIN: "model asked again, with the validation errors",
}


LABELS = {Rung.ASKED_AGAIN: "re-asked"}


@dataclass(frozen=True, slots=True)
class RungCount:
    """The answers of one rung; `percent` is their share of all valid answers."""

    rung: Rung
    label: str
    about: str
    count: int
    percent: float


@dataclass(frozen=True, slots=True)
class Rungs:
    """All rungs, cheapest first; empty if no prompt has a schema."""

    counts: list[RungCount]
    partial: bool = False


def rungs_of(batch: Batch) -> Rungs:
    """Count the answers of a batch by rung, in a query of bounded cost."""
    report = stored_report(batch)
    found = report.rungs if report else _counts(batch)
    fitting = sum(found.values())
    counts = [
        RungCount(rung, LABELS.get(rung, rung), ABOUT[rung], number, share(number, fitting))
        for rung in Rung
        for number in [found.get(rung, 0)]
        if fitting
    ]
    return Rungs(counts, partial=report is None and batch.succeeded > LOOKED_AT)


def _counts(batch: Batch) -> Mapping[str, int]:
    succeeded = Result.objects.filter(batch=batch, status=Result.SUCCEEDED)
    first = Result.objects.filter(pk__in=succeeded.order_by("index").values("pk")[:LOOKED_AT])
    counted = first.exclude(rung="").order_by("rung").values_list("rung").annotate(n=Count("pk"))
    return dict(counted)
