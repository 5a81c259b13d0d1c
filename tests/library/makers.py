"""Rows for the tests."""

from typing import Any

from batches.models import Provider
from batches.rows import enrich
from tests.library.models import Article, Author
from tests.makers import MODEL

TEMPLATE = "Summarise: {{ row.body }}"


def articles(number: int, **values: Any) -> list[Article]:
    """Return stored articles "0", "1" and so on, each with an author of its own."""
    authors = Author.objects.bulk_create(Author(name=f"author {n}") for n in range(number))
    return Article.objects.bulk_create(
        Article(**{"title": f"title {n}", "body": f"body {n}", "author": authors[n], **values})
        for n in range(number)
    )


def enriched(provider: Provider, **changes: Any) -> Any:
    """Return the batch of all articles, whose answers become their summaries."""
    given = {"template": TEMPLATE, "into": "summary", "model": MODEL, "provider": provider}
    queryset = changes.pop("queryset", None)
    rows = Article.objects.all() if queryset is None else queryset
    return enrich(rows, **{**given, **changes})
