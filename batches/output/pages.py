"""Pages of results in the order of the input, found by indexes; pages of long replies are short."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, F, Func, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.sql.compiler import SQLCompiler

from batches.models import Batch, Result
from batches.models.bounds import IDS_IN_A_QUERY

PAGE_ROWS = 1000
# The most bytes of replies in a page; a longer reply gets a page of its own.
PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page of results; `last` is the index of the last one, if there is any."""

    rows: list[tuple[Any, ...]]
    last: int
    has_more: bool


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """The index, key and size of a result."""

    index: int
    pk: int
    bytes: int


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
    """Return up to `most` results after an index, optionally of one status or kind."""
    statuses = [status] if status else [Result.SUCCEEDED, Result.FAILED]
    results = Result.objects.filter(batch=batch)
    if kind is not None:
        # Only failed results have a kind.
        statuses = [given for given in statuses if given == Result.FAILED]
        results = results.filter(kind=kind)
    places = _places(results.filter(index__gt=after), statuses, most + 1)
    taken = places[: _number_taken(places, most)]
    return StoredPage(
        rows=_rows(taken, names),
        last=taken[-1].index if taken else after,
        has_more=len(taken) < len(places),
    )


def _places(results: QuerySet[Result], statuses: Sequence[str], most: int) -> list[_Place]:
    """Return the places of the first `most` results of these statuses.

    Query by status, since the index has the results of a status in order. The prompts of a running
    batch are no help: there may be a million without a result in between.
    """
    found: list[_Place] = []
    for status in statuses:
        these = results.filter(status=status)
        if len(found) == most:
            these = these.filter(index__lt=found[-1].index)
        size = Coalesce(TextBytes(F("body")), 0) + Coalesce(TextBytes(F("parsed")), 0)
        columns = these.order_by("index").values_list("index", "pk", size)[:most]
        found += [_Place(*column) for column in columns]
    return sorted(found)[:most]


def _number_taken(places: Sequence[_Place], most: int) -> int:
    """Return how many of these results fit on a page, at least one."""
    total = 0
    for number, place in enumerate(places):
        total += place.bytes
        if number == most or (number and total > PAGE_BYTES):
            return number
    return len(places)


def _rows(places: Sequence[_Place], names: Sequence[str]) -> list[tuple[Any, ...]]:
    found: dict[int, tuple[Any, ...]] = {}
    for start in range(0, len(places), IDS_IN_A_QUERY):
        ids = [place.pk for place in places[start : start + IDS_IN_A_QUERY]]
        rows = Result.objects.filter(pk__in=ids)
        for row in rows.values_list("pk", "index", "prompt__custom_id", *names):
            found[row[0]] = row
    # A prompt that was retried meanwhile has no result any more.
    return [found[place.pk] for place in places if place.pk in found]
