"""Read the rows of a queryset page by page, each row once, in the order of their keys."""

from collections.abc import Iterator
from typing import Any

from django.db.models import CompositePrimaryKey, Model, Prefetch, QuerySet
from django.db.models.manager import BaseManager
from django.db.models.query import ModelIterable

from batches.errors import NotPossible

PAGE_ROWS = 500


def queryset_of(given: Any) -> "QuerySet[Any, Any]":
    """Return a queryset, or all rows of a manager. Raise NotPossible for anything else."""
    if isinstance(given, BaseManager):
        given = given.all()
    if not isinstance(given, QuerySet):
        raise NotPossible(
            f"{repr(given)[:100]} is no queryset: give one, such as Article.objects.all()"
        )
    return given


def check_queryset(queryset: "QuerySet[Any, Any]", lookups: list[str]) -> None:
    """Raise NotPossible for a queryset that cannot be read in pages, or whose related rows a
    worker cannot read again."""
    model, query = queryset.model, queryset.query
    again = f'{model.__name__}.objects.filter(pk__in=queryset.values("pk"))'
    if query.is_sliced or query.combinator or query.distinct_fields:
        raise NotPossible(
            "a queryset with a slice, a union or distinct fields cannot be read in pages: "
            f"use {again}"
        )
    if query.where.contains_over_clause:
        raise NotPossible(
            "a queryset with a filter over a window function cannot be read in pages, since each "
            f"page would have other windows: use {again}"
        )
    if not issubclass(queryset._iterable_class, ModelIterable):
        raise NotPossible("the queryset has values(), so its rows are no models: leave them out")
    if isinstance(model._meta.pk, CompositePrimaryKey):
        raise NotPossible(
            f"{model._meta.label} has a composite primary key, which is not supported"
        )
    for lookup in getattr(queryset, "_prefetch_related_lookups", ()):
        # Whether a queryset is true is a query.
        is_own = isinstance(lookup, Prefetch) and lookup.queryset is not None
        if is_own and lookup.prefetch_through in lookups:
            raise NotPossible(
                f"the template reads {lookup.prefetch_through!r}, which is prefetched with a "
                "queryset of its own. A worker reads these rows again before it writes, and has no "
                "such queryset: prefetch the relation by its name"
            )


def row_pages(
    queryset: "QuerySet[Any, Any]", *, page_rows: int = PAGE_ROWS
) -> "Iterator[list[Model]]":
    """Yield the rows in pages, with one page in memory.

    Each page is a query of its own, which starts behind the last key. A cursor for all rows would
    keep a transaction open, and is not possible behind a pooler.
    """
    ordered = queryset.order_by("pk")
    # Undo `reverse()`. A lock would end with the transaction of its page.
    ordered.query.standard_ordering = True
    ordered.query.select_for_update = False
    after: Any = None
    while True:
        pages = ordered if after is None else ordered.filter(pk__gt=after)
        # A join may bring a row several times; the copies follow each other.
        found = list(pages[:page_rows])
        page = list({row.pk: row for row in found}.values())
        if page:
            yield page
        if len(found) < page_rows:
            return
        after = found[-1].pk
