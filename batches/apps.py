from django.apps import AppConfig
from django.core.checks import register
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate


class BatchesConfig(AppConfig):
    name = "batches"
    verbose_name = "Batches"

    def ready(self) -> None:
        from batches.database import check_users  # noqa: PLC0415 - it uses the settings
        from batches.models import database_sessions as sessions  # noqa: PLC0415 - it uses the settings
        from batches.workers import messages  # noqa: PLC0415, F401 - it listens to due deliveries
        from batches.workers.doorbells import check_doorbell  # noqa: PLC0415 - the same

        register(check_doorbell)
        register(check_users)
        connection_created.connect(sessions.limit_session, dispatch_uid="limit_session")
        pre_migrate.connect(sessions.lift_limits, sender=self, dispatch_uid="lift_limits")
        post_migrate.connect(sessions.restore_limits, sender=self, dispatch_uid="restore_limits")
