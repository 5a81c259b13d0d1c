"""`manage.py summarise`: let a model write the summaries that are missing."""

from typing import Any, Literal

from django.core.management.base import BaseCommand
from pydantic import BaseModel

from batches.rows import enrich
from books.models import Book


class BookFacts(BaseModel):
    """What a model says about a book."""

    summary: str
    topic: Literal["fiction", "science", "other"]


class Command(BaseCommand):
    """Start a batch for the books without a summary."""

    help = "Let a model write the summaries that are missing."

    def handle(self, **_options: Any) -> None:
        batch = enrich(
            Book.objects.filter(summary="").select_related("author"),
            template="Summarise {{ row.title }} by {{ row.author.name }}:\n\n{{ row.body }}",
            into={"summary": "summary", "topic": "topic"},
            schema=BookFacts,
            model="simulated-small",
        )
        self.stdout.write(f"{batch.public_id}: {batch.total} books" if batch else "nothing to do")
