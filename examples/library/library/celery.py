"""The Celery app of the bookshop, which has tasks of its own beside the batches."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "library.settings")

from django.conf import settings

app = Celery("library", broker=settings.BROKER)
app.autodiscover_tasks()
app.conf.beat_schedule = {"sweep": {"task": "batches.tasks.sweep", "schedule": 30}}
