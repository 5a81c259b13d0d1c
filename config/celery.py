"""The Celery app: `celery -A config worker --pool threads`. Its settings are in settings.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("threephase")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
