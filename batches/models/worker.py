"""Workers and their heartbeats."""

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A worker, busy or idle, with its last heartbeat; deleted when the worker ends normally."""

    name = models.CharField(max_length=200, unique=True)
    process = models.CharField(max_length=200, help_text="host and process, as its slots name it")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        # Only the dashboard shows them.
        default_permissions = ()
