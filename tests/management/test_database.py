"""A command finds its database up to date, or brings it up to date."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext

from batches.management.bulk.usage import UsageError
from batches.management.database import check_database
from tests.configuring import configure

pytestmark = pytest.mark.django_db
FOLDER = Path(__file__).parents[2] / "batches" / "migrations"
BEFORE, NEWEST = sorted(file.stem for file in FOLDER.glob("0*.py"))[-2:]


@pytest.fixture
def unapplied() -> None:
    """The newest migration counts as one that was never run."""
    MigrationRecorder(connection).record_unapplied("batches", NEWEST)


def test_a_database_that_is_up_to_date_is_only_read() -> None:
    with CaptureQueriesContext(connection) as queries:
        check_database()
    assert all("SELECT" in query["sql"] for query in queries)


@pytest.mark.usefixtures("unapplied")
def test_a_database_that_is_not_embedded_is_left_to_its_owner(settings: Any) -> None:
    configure(settings, EMBEDDED=False)
    with pytest.raises(UsageError, match=r"run `manage\.py migrate` first"):
        check_database()


@pytest.mark.django_db(transaction=True)
def test_an_embedded_database_is_migrated(settings: Any) -> None:
    configure(settings, EMBEDDED=True)
    try:
        call_command("migrate", "batches", BEFORE, verbosity=0)
        check_database()
        applied = MigrationRecorder(connection).applied_migrations()
    finally:
        call_command("migrate", verbosity=0)
    assert ("batches", NEWEST) in applied
