"""The Celery app: `celery -A config worker --pool threads`. Its settings are in settings.py."""

import os

from celery import Celery
from celery.signals import worker_process_init, worker_ready

from batches.runner.tuning import tune_process

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# Django's checks would load the admin and the API, a quarter of a worker's memory;
# `manage.py check` and `manage.py serve` run them.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("threephase")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_process_init.connect
@worker_ready.connect
def tune(**_: object) -> None:
    """Tune a worker, or a child of one, when everything is loaded, and before its first task."""
    tune_process()
