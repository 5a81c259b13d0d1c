"""The settings of a project whose workers run tasks that are rows of the database."""

from config.settings import *  # noqa: F403 - all settings, changed below
from config.settings import INSTALLED_APPS

INSTALLED_APPS += ["django_tasks", "django_tasks_db"]
TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
