"""Outages: models of a provider that do not answer now."""

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from batches.models.bounds import MAX_MODEL_CHARS, MAX_REASON_CHARS
from batches.models.provider import Provider

# An outage without a probe for this long is stale: no runner updates it any more.
STALE = timedelta(minutes=3)


class OutageQuerySet(models.QuerySet["Outage"]):
    def current(self) -> "OutageQuerySet":
        """Select the outages that a runner still updates."""
        return self.filter(probe_at__gt=Now() - STALE)


class Outage(models.Model):
    """A model of a provider that does not answer. Its runners wait, and one of them sends each
    probe when it is due. The row is deleted when the model answers again."""

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="outages", db_index=False)
    model = models.CharField(max_length=MAX_MODEL_CHARS)
    reason = models.CharField(max_length=MAX_REASON_CHARS)
    since = models.DateTimeField(db_default=Now())
    probe_at = models.DateTimeField()
    probes = models.PositiveIntegerField(default=0)

    objects = OutageQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["provider", "model"], name="outage_of_model_once"),
        )
