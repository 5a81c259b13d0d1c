"""How answers came to fit their schema: by rung of the ladder, as the API counts them too."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count

from batches.ending.report import stored_report
from batches.engine.records import Rung
from batches.formats import share
from batches.models import Batch, Result

# Of a batch that runs so many answers are looked at.
LOOKED_AT = 10_000

ABOUT = {
    Rung.PARSED: "as they came",
    Rung.EXTRACTED: "found within prose or a fence",
    Rung.REPAIRED: "after their syntax was mended",
    Rung.ASKED_AGAIN: "after the model was told what was wrong",
}


@dataclass(frozen=True, slots=True)
class RungCount:
    """The answers of one rung; `percent` of those that fit."""

    rung: Rung
    about: str
    count: int
    percent: float


@dataclass(frozen=True, slots=True)
class Rungs:
    """All rungs, cheapest first; none where no schema was asked for."""

    counts: list[RungCount]
    partial: bool = False


def rungs_of(batch: Batch) -> Rungs:
    """The answers of a batch by rung, in a query of bounded cost."""
    report = stored_report(batch)
    found = report.rungs if report else _counts(batch)
    fitting = sum(found.values())
    counts = [
        RungCount(rung, ABOUT[rung], found.get(rung, 0), share(found.get(rung, 0), fitting))
        for rung in Rung
        if fitting
    ]
    return Rungs(counts, partial=report is None and batch.succeeded > LOOKED_AT)


def _counts(batch: Batch) -> Mapping[str, int]:
    succeeded = Result.objects.filter(batch=batch, status=Result.SUCCEEDED)
    first = Result.objects.filter(pk__in=succeeded.order_by("index").values("pk")[:LOOKED_AT])
    counted = first.exclude(rung="").order_by("rung").values_list("rung").annotate(n=Count("pk"))
    return dict(counted)
