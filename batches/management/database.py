"""The database that a command needs: there, and up to date."""

from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from batches.management.usage import UsageError


def check_database() -> None:
    """Bring the embedded database up to date; another one is its owner's to migrate."""
    try:
        executor = MigrationExecutor(connection)
    except OperationalError as error:
        raise UsageError(f"the database of DATABASE_URL does not answer: {error}") from error
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if not settings.EMBEDDED:
        raise UsageError("the database is not up to date; run `manage.py migrate` first")
    call_command("migrate", verbosity=0)
