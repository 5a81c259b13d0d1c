"""Functions that save an answer, which workers import by their paths."""

from batches.rows import RowOutcome
from tests.library.models import Article, Tag


def save_in_capitals(row: Article, outcome: RowOutcome) -> None:
    row.summary = outcome.text.upper()
    row.save(update_fields=["summary"])


def save_and_fail(row: Article, outcome: RowOutcome) -> None:
    """Write, and then fail for one of the rows."""
    row.tags.add(Tag.objects.create(name=outcome.model))
    save_in_capitals(row, outcome)
    if row.title.endswith("2"):
        raise RuntimeError("no more paper")
