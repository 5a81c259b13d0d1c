from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class BatchesConfig(AppConfig):
    name = "batches"
    verbose_name = "Batches"

    def ready(self) -> None:
        connection_created.connect(let_go_of_locks, dispatch_uid="let_go_of_locks")


def let_go_of_locks(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Have PostgreSQL end the transaction of a process that was frozen in the middle of it.

    Its lease has run out by then; its locks would hold up whoever has the lease now.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
                [f"{settings.LEASE_SECONDS}s"],
            )
