"""An input that cannot be read while the disk is full is read when there is room."""

from collections.abc import Iterator

import pytest
from django.db import connection

from batches.intake.reading import to_read
from batches.models import Batch, Prompt, Provider
from tests.intake.test_reading import LINES, batch_of_file, content, read

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """SQLite may add few pages, and then says that the disk is full."""
    with connection.cursor() as cursor:
        # Without the pages that earlier tests have left free.
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA page_count")
        [pages] = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages + 8}")
        yield
        cursor.execute("PRAGMA max_page_count = 1000000")


def test_attempts_on_a_full_disk_do_not_count(
    provider: Provider, request: pytest.FixtureRequest
) -> None:
    batch = batch_of_file(provider, content(LINES))
    request.getfixturevalue("full_disk")
    for _ in range(5):
        assert not read(batch)
        assert (batch.status, batch.ingest_token) == ("validating", 0)
        assert to_read().filter(pk=batch.pk).exists()
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1000000")
    assert read(batch)
    assert Prompt.objects.filter(batch=batch).count() == Batch.objects.get().total == LINES
