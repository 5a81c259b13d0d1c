"""Pages of results in the order of the input, found by indexes; pages of long replies are short."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BigIntegerField, Case, F, Func, QuerySet, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import LessThanOrEqual
from django.db.models.sql.compiler import SQLCompiler

from batches.models import Batch, Result
from batches.models.statements import Compiled, Statement, hole, query_of

PAGE_ROWS = 1000
# The most bytes of replies in a page; a longer reply gets a page of its own.
PAGE_BYTES = 4 * 1024 * 1024
# Replies of up to this size are read before it is known how many fit on a page.
SHORT_BYTES = PAGE_BYTES // PAGE_ROWS
# Above every index.
BEYOND_ALL = 2**31 - 1
# Compiled queries, which differ in the size of a page, its columns and filters.
QUERIES_KEPT = 64


# The columns of the reply of a result, and of the row that its prompt was made of.
LONG = frozenset({"body", "parsed", "prompt__row"})

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page of results; `last` is the index of the last one, if there is any."""

    rows: list[Row]
    last: int
    has_more: bool


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


def result_pages_of(
    batch: Batch, names: Sequence[str], *, status: str | None = None
) -> Iterator[list[Row]]:
    """Yield all results in pages, optionally of one status, with one page in memory.

    A result is (prompt id, index, custom_id, *names).
    """
    after, has_more, most = -1, True, PAGE_ROWS
    while has_more:
        page = result_page(batch, names, after=after, most=most, status=status)
        yield page.rows
        after, has_more = page.last, page.has_more
        # Where long replies fill a page, do not measure many more than the next page can have.
        most = min(1 << len(page.rows).bit_length(), PAGE_ROWS)


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
    columns = _Columns(tuple(names), statuses, kind)
    found = _first_rows(batch.pk, columns, after=after, most=most + 1)
    taken = found[: _number_taken(found, most)]
    last = _index(taken[-1]) if taken else after
    rows = [row[:-1] for row in taken]
    if max(map(_bytes, taken), default=0) > SHORT_BYTES:
        rows = _whole_rows(batch.pk, columns, first=_index(taken[0]), last=last)
    return StoredPage(rows, last, has_more=len(taken) < len(found))


# The parts of a row that is read first: its index, and the bytes of its replies.
_index, _bytes = itemgetter(1), itemgetter(-1)


def _first_rows(batch_id: int, columns: _Columns, *, after: int, most: int) -> list[Row]:
    """Return the first `most` results with the bytes of their replies, of which long ones are left
    out.

    Query by status, since the index has the results of a status in order. The prompts of a running
    batch are no help: there may be a million without a result in between.
    """
    found: list[Row] = []
    for status in columns.statuses:
        before = _index(found[-1]) if len(found) == most else BEYOND_ALL
        query = _first_query(status, columns, most)
        found += query.rows(batch=batch_id, after=after, before=before)
    return sorted(found, key=_index)[:most]


@lru_cache(maxsize=QUERIES_KEPT)
def _first_query(status: str, columns: _Columns, most: int) -> Statement:
    def build() -> Compiled:
        size = Coalesce(TextBytes(F("body")), 0) + Coalesce(TextBytes(F("parsed")), 0)
        if "prompt__row" in columns.names:
            size += Coalesce(TextBytes(F("prompt__row")), 0)
        these = _of(columns.kind).filter(
            status=status, index__gt=hole("after"), index__lt=hole("before")
        )
        values = [_if_short(name) if name in LONG else name for name in columns.names]
        sized = these.order_by("index").annotate(bytes=size)
        return query_of(
            sized.values_list("pk", "index", "prompt__custom_id", *values, "bytes")[:most]
        )

    return Statement(build)


def _if_short(name: str) -> Case:
    return Case(When(LessThanOrEqual(TextBytes(F(name)), SHORT_BYTES), then=F(name)))


def _number_taken(rows: Sequence[Row], most: int) -> int:
    """Return how many of these results fit on a page, at least one."""
    fit = bisect_right(list(accumulate(map(_bytes, rows))), PAGE_BYTES)
    return min(max(fit, 1), most)


def _whole_rows(batch_id: int, columns: _Columns, *, first: int, last: int) -> list[Row]:
    """Return the results from one index to another."""
    rows = _whole_query(columns).rows(batch=batch_id, first=first, last=last)
    return sorted(rows, key=_index)


@lru_cache(maxsize=QUERIES_KEPT)
def _whole_query(columns: _Columns) -> Statement:
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
