"""Rows of the table of results, with one-line snippets of prompts and answers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from django.db.models import Case, F, QuerySet, TextField, Value, When
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThan

from batches.admin.batches.results.conversation import answered, asked, snippet
from batches.admin.batches.results.searching import Search, Wanted, search
from batches.admin.samples import LOOKED_AT
from batches.models import Batch, Result

# Longer bodies get no snippet: a page of long bodies would load megabytes.
MOST_CHARS = 20_000
LONG = "(long; open it to read)"


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter of the table of results; an empty field matches all."""

    status: str = ""
    kind: str = ""
    custom_id: str = ""
    text: str = ""
    field: str = ""
    value: str = ""

    @property
    def statuses(self) -> list[str]:
        """Return the statuses that can match; a successful result has no kind of failure."""
        if self.kind:
            return [Result.FAILED] if self.status != Result.SUCCEEDED else []
        return [self.status] if self.status else [Result.SUCCEEDED, Result.FAILED]

    @property
    def searched(self) -> Wanted | None:
        """Return what is to be searched for in prompts and answers, if anything."""
        if not (self.text or self.field):
            return None
        return Wanted(self.text, self.field, self.value)


@dataclass(frozen=True, slots=True)
class ShownRow:
    """One result."""

    index: int
    custom_id: str
    status: str
    kind: str
    message: str
    calls: int
    latency_s: float | None
    input_tokens: int
    output_tokens: int
    prompt: str
    answer: str


_COLUMNS = (
    *("index", "prompt__custom_id", "status", "kind", "message", "calls", "latency_s"),
    *("input_tokens", "output_tokens"),
)


def rows_of(batch: Batch, wanted: Filter, *, after: int, limit: int) -> list[ShownRow]:
    """Return up to `limit` results after an index, in the order of the prompts.

    Each status is queried on its own, since the database index is ordered within a status; one
    query for both statuses would sort a million rows.
    """
    found = [
        columns
        for status in wanted.statuses
        for columns in _with_snippets(_matching(batch, status, wanted))
        .filter(index__gt=after)
        .order_by("index")[:limit]
    ]
    found.sort(key=itemgetter(0))
    return [_row(batch, columns) for columns in found[:limit]]


def found_rows(
    batch: Batch, wanted: Filter, *, after: int, limit: int
) -> tuple[list[ShownRow], Search]:
    """Search for up to `limit` results after an index; return them and how far it went."""
    found = _search(batch, wanted, start=after, limit=limit)
    rows = [
        columns
        for status in wanted.statuses
        for columns in _with_snippets(_matching(batch, status, wanted)).filter(
            index__in=found.indexes
        )
    ]
    return [_row(batch, columns) for columns in sorted(rows, key=itemgetter(0))], found


def count_of(batch: Batch, wanted: Filter) -> tuple[int, bool]:
    """Count the results that match without a search; True if there are more than this number."""
    if wanted == Filter(status=Result.SUCCEEDED):
        return batch.succeeded, False
    found = 0
    for status in wanted.statuses:
        if wanted == Filter() and status == Result.SUCCEEDED:
            found += batch.succeeded
            continue
        some = _matching(batch, status, wanted)[: LOOKED_AT + 1].count()
        found += min(some, LOOKED_AT)
        if some > LOOKED_AT:
            return found, True
    return found, False


def _search(
    batch: Batch, wanted: Filter, *, start: int, limit: int, backward: bool = False
) -> Search:
    each = [_matching(batch, status, wanted) for status in wanted.statuses]
    what = wanted.searched or Wanted()
    return search(batch, each, what, start=start, limit=limit, backward=backward)


def indexes_before(batch: Batch, wanted: Filter, index: int, *, limit: int) -> list[int]:
    """Return up to `limit` indexes of results before an index, the nearest first."""
    if wanted.searched:
        return _search(batch, wanted, start=index, limit=limit, backward=True).indexes
    return sorted(_indexes(batch, wanted, "-index", limit, index__lt=index), reverse=True)[:limit]


def indexes_after(batch: Batch, wanted: Filter, index: int, *, limit: int) -> list[int]:
    """Return up to `limit` indexes of results after an index, the nearest first."""
    if wanted.searched:
        return _search(batch, wanted, start=index, limit=limit).indexes
    return sorted(_indexes(batch, wanted, "index", limit, index__gt=index))[:limit]


def _indexes(batch: Batch, wanted: Filter, order: str, limit: int, **bound: int) -> Iterator[int]:
    """Yield up to `limit` indexes for each status that is wanted."""
    for status in wanted.statuses:
        found = _matching(batch, status, wanted).filter(**bound).order_by(order)
        yield from found.values_list("index", flat=True)[:limit]


def _matching(batch: Batch, status: str, wanted: Filter) -> QuerySet[Result]:
    """Return the results of a status that match the filter."""
    found = Result.objects.filter(batch=batch, status=status)
    if wanted.kind:
        found = found.filter(kind=wanted.kind)
    if wanted.custom_id:
        found = found.filter(prompt__batch=batch, prompt__custom_id=wanted.custom_id)
    return found


def _with_snippets(results: QuerySet[Result]) -> QuerySet[Result, Any]:
    shown = results.annotate(asked=_short("prompt__body"), said=_short("body"))
    return shown.values_list(*_COLUMNS, "asked", "said")


def _short(column: str) -> Case:
    return Case(
        When(GreaterThan(Length(column), MOST_CHARS), then=Value(LONG)),
        default=F(column),
        output_field=TextField(),
    )


def _row(batch: Batch, columns: Any) -> ShownRow:
    body, said = columns[-2:]
    shown = (_asked(body, batch.endpoint), _said(said, batch.endpoint))
    return ShownRow(*(*columns[:-2], *shown))


def _asked(body: str, endpoint: str) -> str:
    return body if body == LONG else snippet(asked(json.loads(body), endpoint))


def _said(body: str | None, endpoint: str) -> str:
    if body is None or body == LONG:
        return body or ""
    return snippet(answered(body, endpoint))
