from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """This project, which does nothing but run batches."""

    name = "config"

    def ready(self) -> None:
        from batches.models.database_sessions import limit_process  # noqa: PLC0415 - it uses models

        limit_process()
