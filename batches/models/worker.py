"""Who works on batches."""

from django.db import models
from django.db.models.functions import Now


class Worker(models.Model):
    """A worker, busy or idle, as it last said that it is there; gone when it ends by itself."""

    name = models.CharField(max_length=200, unique=True)
    process = models.CharField(max_length=200, help_text="host and process, as its slots name it")
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        # Only the dashboard shows them.
        default_permissions = ()
