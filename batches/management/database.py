"""Check that the database of a command exists and is up to date."""

from pathlib import Path
from pkgutil import iter_modules

from django.apps import apps
from django.core.management import call_command
from django.db import Error
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from batches.conf import conf
from batches.database import connection
from batches.management.bulk.usage import UsageError, database_fault


def check_database() -> None:
    """Migrate the embedded database; any other database must be migrated by its owner.

    Raises UsageError if the database cannot be used.
    """
    try:
        _bring_up_to_date()
    except Error as error:
        raise UsageError(database_fault(error)) from error


def _bring_up_to_date() -> None:
    # Building the plan loads every migration, which takes longer than a small batch.
    if _migrations() <= MigrationRecorder(connection).applied_migrations().keys():
        return
    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if not conf().EMBEDDED:
        raise UsageError("the database is not up to date; run `manage.py migrate` first")
    call_command("migrate", verbosity=0)


def _migrations() -> set[tuple[str, str]]:
    """Return the app and the name of every migration there is."""
    return {
        (app.label, module.name)
        for app in apps.get_app_configs()
        for module in iter_modules([str(Path(app.path) / "migrations")])
    }
