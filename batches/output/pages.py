"""Pages of results in the order of the input, found by indexes; pages of long replies are short."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, F, Func, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from batches.models import Batch, Result
from batches.models.statements import Compiled, Statement, hole, query_of

PAGE_ROWS = 1000
# The most bytes of replies in a page; a longer reply gets a page of its own.
PAGE_BYTES = 4 * 1024 * 1024
# Above every index.
BEYOND_ALL = 2**31 - 1
# Compiled queries, which differ in the size of a page, its columns and filters.
QUERIES_KEPT = 64


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page of results; `last` is the index of the last one, if there is any."""

    rows: list[tuple[Any, ...]]
    last: int
    has_more: bool


class _Place(NamedTuple):
    """The index, key and size of a result; a tuple already has an `index`."""

    at: int
    pk: int
    bytes: int


class _Columns(NamedTuple):
    """The columns to read, and the filters of the results."""

    names: tuple[str, ...]
    statuses: tuple[str, ...]
    kind: str | None


class TextBytes(Func):
    """The length of a text in bytes, without reading it. SQLite reads it and counts characters."""

    function = "OCTET_LENGTH"
    output_field = BigIntegerField()

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        return self.as_sql(compiler, connection, function="LENGTH", **context)


def result_rows_of(
    batch: Batch, names: Sequence[str], *, status: str | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield all results as (prompt id, index, custom_id, *names), with one page in memory."""
    after, has_more = -1, True
    while has_more:
        page = result_page(batch, names, after=after, most=PAGE_ROWS, status=status)
        yield from page.rows
        after, has_more = page.last, page.has_more


def result_page(
    batch: Batch,
    names: Sequence[str],
    *,
    after: int,
    most: int,
    status: str | None = None,
    kind: str | None = None,
) -> StoredPage:
    """Return up to `most` results after an index, optionally of one status or kind.

    The columns of these names are as the driver reads them: name no dates or decimals.
    """
    statuses: tuple[str, ...] = (status,) if status else (Result.SUCCEEDED, Result.FAILED)
    if kind is not None:
        # Only failed results have a kind.
        statuses = tuple(given for given in statuses if given == Result.FAILED)
    with_rows = "prompt__row" in names
    places = _places(batch.pk, statuses, kind, after=after, most=most + 1, with_rows=with_rows)
    taken = places[: _number_taken(places, most)]
    return StoredPage(
        rows=_rows(batch.pk, taken, _Columns(tuple(names), statuses, kind)) if taken else [],
        last=taken[-1].at if taken else after,
        has_more=len(taken) < len(places),
    )


def _places(
    batch_id: int,
    statuses: Sequence[str],
    kind: str | None,
    *,
    after: int,
    most: int,
    with_rows: bool,
) -> list[_Place]:
    """Return the places of the first `most` results of these statuses.

    Query by status, since the index has the results of a status in order. The prompts of a running
    batch are no help: there may be a million without a result in between.
    """
    found: list[_Place] = []
    for status in statuses:
        before = found[-1].at if len(found) == most else BEYOND_ALL
        query = _place_query(status, kind, most, with_rows=with_rows)
        found += map(_Place._make, query.rows(batch=batch_id, after=after, before=before))
    return sorted(found)[:most]


@lru_cache(maxsize=QUERIES_KEPT)
def _place_query(status: str, kind: str | None, most: int, *, with_rows: bool) -> Statement:
    def build() -> Compiled:
        size = Coalesce(TextBytes(F("body")), 0) + Coalesce(TextBytes(F("parsed")), 0)
        if with_rows:
            size += Coalesce(TextBytes(F("prompt__row")), 0)
        these = _of(kind).filter(status=status, index__gt=hole("after"), index__lt=hole("before"))
        return query_of(these.order_by("index").values_list("index", "pk", size)[:most])

    return Statement(build)


def _number_taken(places: Sequence[_Place], most: int) -> int:
    """Return how many of these results fit on a page, at least one."""
    total = 0
    for number, place in enumerate(places):
        total += place.bytes
        if number == most or (number and total > PAGE_BYTES):
            return number
    return len(places)


def _rows(batch_id: int, places: Sequence[_Place], columns: _Columns) -> list[tuple[Any, ...]]:
    """Return the results in these places, which are all that there were in between."""
    query = _row_query(columns)
    rows = query.rows(batch=batch_id, first=places[0].at, last=places[-1].at)
    found = {row[0]: row for row in rows}
    # A prompt that was retried meanwhile has no result any more.
    return [found[place.pk] for place in places if place.pk in found]


@lru_cache(maxsize=QUERIES_KEPT)
def _row_query(columns: _Columns) -> Statement:
    def build() -> Compiled:
        these = _of(columns.kind).filter(
            status__in=columns.statuses, index__gte=hole("first"), index__lte=hole("last")
        )
        return query_of(these.values_list("pk", "index", "prompt__custom_id", *columns.names))

    return Statement(build)


def _of(kind: str | None) -> QuerySet[Result]:
    """Select the results of the batch in the hole, optionally of one kind."""
    results = Result.objects.filter(batch_id=hole("batch"))
    return results if kind is None else results.filter(kind=kind)
