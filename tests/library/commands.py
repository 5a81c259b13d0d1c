"""Commands of the project that has the app, for a driver process of the tests."""

from typing import Any

from batches.actions import providers as provider_actions
from batches.models import Answer, Batch, Result
from simulator.answers import answer_text
from tests.library import makers
from tests.library.models import Article


def make(number: int) -> None:
    """Store articles."""
    makers.articles(number)


def start(base_url: str, **options: Any) -> int | None:
    """Enrich all articles; return the batch, None if there is nothing to ask."""
    batch = makers.enriched(provider_actions.provider_at(base_url, ""), **options)
    return batch and int(batch.pk)


def change(number: int) -> None:
    """Change the bodies of the first articles."""
    for row in Article.objects.order_by("pk")[:number]:
        Article.objects.filter(pk=row.pk).update(body=f"{row.body}, changed")


def others() -> list[Any]:
    """Return the columns that no answer is written to."""
    rows = Article.objects.order_by("pk")
    return [list(map(str, row)) for row in rows.values_list("pk", "views", "facts", "updated_at")]


def halves(batch: int) -> list[str]:
    """Return the rows that have their answer and no result or provenance, or the other way."""
    results = Result.objects.filter(batch=batch, status=Result.SUCCEEDED)
    stored = set(results.values_list("prompt__custom_id", flat=True))
    public_id = Batch.objects.get(pk=batch).public_id
    told = Answer.objects.filter(batch_public_id=public_id).values_list("row_pk", "state")
    written = {pk for pk, state in told if state == "written"}
    assert len(told) == len(written), told
    found = []
    for row in Article.objects.all():
        has = [f"library.article:{row.pk}" in stored, str(row.pk) in written, is_answered(row)]
        if any(has) and not all(has):
            found.append(f"{row.pk}: {has}")
    return found


def unanswered() -> int:
    """Return the number of articles without the answer to their prompt."""
    return sum(not is_answered(row) for row in Article.objects.all())


def is_answered(row: Article) -> bool:
    return row.summary == answer_text(0, f"Summarise: {row.body}")
