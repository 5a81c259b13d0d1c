"""The Celery app of another project; its messages stay in this process."""

from celery import Celery

app = Celery("host", broker="memory://")
