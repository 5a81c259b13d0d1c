"""Functions that save an answer, which workers import by their paths."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

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


def refer_to_nothing(row: Article, outcome: RowOutcome) -> None:
    """Violate a foreign key, which a database checks at the commit."""
    if "bad" in row.title:
        row.author_id = 99_999_999
    row.summary = outcome.text
    row.save()


def mark_for_rollback(row: Article, outcome: RowOutcome) -> None:
    save_in_capitals(row, outcome)
    if "bad" in row.title:
        transaction.set_rollback(True)


def pass_over_an_error(row: Article, outcome: RowOutcome) -> None:
    save_in_capitals(row, outcome)
    if "bad" in row.title:
        with suppress(IntegrityError):
            Article(pk=row.pk, title=row.title).save(force_insert=True)


def be_stopped(row: Article, outcome: RowOutcome) -> None:
    """Run into the time limit of a statement, each time."""
    save_in_capitals(row, outcome)
    if "bad" in row.title:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL statement_timeout = 1")
                cursor.execute("SELECT pg_sleep(60)")
                return
            driver: Any = connection.connection
            driver.set_progress_handler(lambda: 1, 1)
            try:
                cursor.execute("SELECT count(*) FROM library_article a, library_article b")
            finally:
                driver.set_progress_handler(None, 1)


def miss_another_database(row: Article, outcome: RowOutcome) -> None:
    save_in_capitals(row, outcome)
    if "bad" in row.title:
        raise OperationalError("the analytics database is away")


def select_from_nowhere(row: Article, outcome: RowOutcome) -> None:
    save_in_capitals(row, outcome)
    if "bad" in row.title:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")


# What the hooks of `register_a_hook` have heard.
HEARD: list[str] = []


def register_a_hook(row: Article, outcome: RowOutcome) -> None:
    save_in_capitals(row, outcome)
    transaction.on_commit(partial(_hear, row.title))


def _hear(title: str) -> None:
    if "bad" in title:
        raise ConnectionError("the search index is away")
    HEARD.append(title)


FAULTY: dict[Callable[..., None], str] = {
    refer_to_nothing: "IntegrityError: ",
    mark_for_rollback: "RuntimeError: the transaction was marked to be rolled back",
    pass_over_an_error: "RuntimeError: the transaction was marked to be rolled back",
    be_stopped: "OperationalError: ",
    miss_another_database: "OperationalError: the analytics database is away",
    select_from_nowhere: "Error: ",
}
