"""Counts of batches by hour, for the charts of the dashboard."""

from django.db import models

from batches.models.batch import Batch


class BatchHour(models.Model):
    """The counts of a batch at the end of an hour, and at its beginning (`before_…`).

    The sweeper copies the counts from the batch, so a row is a little behind while its hour lasts.
    """

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="hours", db_index=False)
    hour = models.DateTimeField(help_text="its beginning")
    until = models.FloatField(help_text="active_until of the batch when its counts were copied")
    succeeded = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()
    cost = models.DecimalField(max_digits=16, decimal_places=8)
    before_succeeded = models.PositiveIntegerField()
    before_failed = models.PositiveIntegerField()
    before_cost = models.DecimalField(max_digits=16, decimal_places=8)

    class Meta:
        # Only the dashboard shows them.
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["batch", "hour"], name="hour_of_batch_once"),
        )
        indexes = (models.Index(fields=["hour", "until"], name="batch_hour"),)
