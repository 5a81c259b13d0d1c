"""The database that a command needs: there, and up to date."""

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

EXIT_USAGE = 2


class Error(CommandError):
    """The database cannot be worked with; exits with 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=EXIT_USAGE)


def check_database() -> None:
    """Bring the embedded database up to date; another one is its owner's to migrate."""
    try:
        executor = MigrationExecutor(connection)
    except OperationalError as error:
        raise Error(f"the database of DATABASE_URL does not answer: {error}") from error
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if not settings.EMBEDDED:
        raise Error("the database is not up to date; run `manage.py migrate` first")
    call_command("migrate", verbosity=0)
