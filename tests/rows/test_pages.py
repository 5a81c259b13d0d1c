"""Pages have each row of a queryset once, whatever the queryset is; or it is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import NotSupportedError
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from batches.errors import NotPossible
from batches.rows.row_pages import check_queryset, row_pages
from tests.library.makers import articles
from tests.library.models import Article, Author

ROWS = 23
Step = Callable[["QuerySet[Any]"], "QuerySet[Any]"]

OWN = Article.objects.filter(pk=OuterRef("pk"))
STEPS: dict[str, Step] = {
    "filter": lambda rows: rows.filter(views__lt=15),
    "exclude": lambda rows: rows.exclude(views__in=[3, 4, 5]),
    "join": lambda rows: rows.filter(tags__name__in=["a", "b"]),
    "distinct": lambda rows: rows.distinct(),
    "count": lambda rows: rows.annotate(n=Count("tags")),
    "having": lambda rows: rows.annotate(m=Count("tags")).filter(m__gt=1),
    "window": lambda rows: rows.annotate(w=Window(RowNumber(), order_by=F("views").desc())),
    "filtered window": lambda rows: rows.annotate(
        v=Window(RowNumber(), order_by=F("views").desc())
    ).filter(v__lte=9),
    "exists": lambda rows: rows.filter(Exists(OWN.filter(views__gt=2))),
    "subquery": lambda rows: rows.annotate(s=Subquery(OWN.values("views")[:1])).filter(s__gt=4),
    "order": lambda rows: rows.order_by("views"),
    "random": lambda rows: rows.order_by("?"),
    "reverse": lambda rows: rows.order_by("-views").reverse(),
    "bare reverse": lambda rows: rows.reverse(),
    "lock": lambda rows: rows.select_for_update(),
    "related": lambda rows: rows.select_related("author").prefetch_related("tags"),
    # Django joins no field that is left out.
    "only": lambda rows: rows.only("title", "author"),
    "slice": lambda rows: rows[:7],
    "union": lambda rows: rows.union(rows),
}


class PagesTest(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        for number, row in enumerate(articles(ROWS)):
            # Against the order of the keys.
            Article.objects.filter(pk=row.pk).update(views=ROWS - number)
            for name in "abc"[: number % 4]:
                row.tags.create(name=name)

    @given(st.lists(st.sampled_from(sorted(STEPS)), max_size=4, unique=True), st.integers(2, 30))
    def test_each_row_is_in_one_page(self, names: list[str], page_rows: int) -> None:
        rows: Any = Article.objects.all()
        try:
            for name in names:
                rows = STEPS[name](rows)
        except (TypeError, NotSupportedError):
            # Django refuses it: a filter after a slice, and the like.
            return
        try:
            check_queryset(rows, [])
        except NotPossible:
            assert {"filtered window", "slice", "union"} & set(names)
            return
        assert not {"filtered window", "slice", "union"} & set(names)
        read = [row.pk for page in row_pages(rows, page_rows=page_rows) for row in page]
        # PostgreSQL locks no groups.
        rows.query.select_for_update = False
        expected = sorted({row.pk for row in rows})
        assert read == expected


@pytest.mark.django_db
def test_the_remedy_for_a_window_asks_about_the_chosen_rows_alone() -> None:
    articles(12)
    chosen = STEPS["filtered window"](Article.objects.all())
    with pytest.raises(NotPossible, match="window function") as refused:
        check_queryset(chosen, [])
    assert 'Article.objects.filter(pk__in=queryset.values("pk"))' in str(refused.value)
    rows = Article.objects.filter(pk__in=chosen.values("pk"))
    read = [row.pk for page in row_pages(rows, page_rows=2) for row in page]
    assert read == sorted(row.pk for row in chosen)
    assert Author.objects.count() == 12
