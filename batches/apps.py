from importlib.util import find_spec
from types import ModuleType
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate

from batches.extras import require

# The last names of Django's engines that speak to PostgreSQL, and of most others.
POSTGRESQL = ("postgresql", "postgis")


class BatchesConfig(AppConfig):
    name = "batches"
    verbose_name = "Batches"
    # Of the migrations, whatever a project has as its default.
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        super().__init__(app_name, app_module)
        # Before any model asks for the database, whose error names no extra.
        databases: dict[str, dict[str, Any]] = settings.DATABASES
        is_used = any(one.get("ENGINE", "").endswith(POSTGRESQL) for one in databases.values())
        # A check says that psycopg2 is not enough; the rest of the project works with it.
        if is_used and find_spec("psycopg2") is None:
            require("postgres", "PostgreSQL")

    def ready(self) -> None:
        from batches import checks  # noqa: PLC0415, F401 - it registers the checks
        from batches.models import database_sessions as sessions  # noqa: PLC0415 - it uses the settings
        from batches.workers import messages  # noqa: PLC0415, F401 - it listens to due deliveries

        connection_created.connect(sessions.limit_session, dispatch_uid="limit_session")
        pre_migrate.connect(sessions.lift_limits, sender=self, dispatch_uid="lift_limits")
        post_migrate.connect(sessions.restore_limits, sender=self, dispatch_uid="restore_limits")
