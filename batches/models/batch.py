"""A batch: its options, its status, its counts."""

from collections.abc import Collection
from functools import partial
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from batches.engine.endpoints import MAX_PATH_CHARS
from batches.engine.execute import DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S
from batches.engine.records import SCHEDULES
from batches.engine.retry import RetryPolicy
from batches.lifecycle import BatchStatus, check_transition
from batches.models.fields import choices, one_of, pause_kind_field, public_id
from batches.models.file import File
from batches.models.provider import Provider
from batches.models.work import Chunk, Slot

# A longer name is not shown as the model of a batch.
MAX_MODEL_CHARS = 255


class BatchQuerySet(models.QuerySet["Batch"]):
    def move(self, target: BatchStatus, *, sources: Collection[BatchStatus], **values: Any) -> bool:
        """Move the one batch of this queryset to a status, if it still is in one of the sources.

        Returns whether it was. Sets the time of the new status on the database's clock.
        Raises ValueError for a transition that the lifecycle does not have.
        """
        for source in sources:
            check_transition(source, target)
        stamped = {f"{target}_at": Now(), **values}
        return bool(self.filter(status__in=sources).update(status=target, **stamped))

    def whole(self) -> "BatchQuerySet":
        """These with their provider and files, read at one moment: a file may go at the next."""
        return self.select_related("provider", "output_file", "error_file")

    def in_time(self) -> "BatchQuerySet":
        """Batches in progress that are not over their time, paused ones among them."""
        in_time = Q(expires_at=None) | Q(expires_at__gt=Now())
        return self.filter(in_time, status=BatchStatus.IN_PROGRESS)

    def runnable(self, *, probing: bool = False) -> "BatchQuerySet":
        """Batches whose chunks may be claimed; or that may probe a provider that is paused."""
        is_open = Q(provider__pause_reason="")
        return self.in_time().filter(~is_open if probing else is_open, pause_reason="")

    def waiting(self, *, probing: bool = False) -> "BatchQuerySet":
        """Batches for the workers that have a chunk and a slot which nobody has."""
        chunks = Chunk.objects.claimable().filter(batch=OuterRef("pk"))
        slots = Slot.objects.claimable().filter(batch=OuterRef("pk"))
        runnable = self.runnable(probing=probing)
        return runnable.filter(Exists(chunks), Exists(slots), in_background=True)

    def overdue(self) -> "BatchQuerySet":
        return self.filter(status=BatchStatus.IN_PROGRESS, expires_at__lte=Now())


class Batch(models.Model):
    """An ordered list of prompts run with one set of options."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "batch_"), editable=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="batches")
    input_file = models.ForeignKey(File, models.SET_NULL, null=True, related_name="+")
    # What the client named; the file may never have been, or may be gone.
    input_file_public_id = models.CharField(max_length=64, blank=True)
    # Who reads the input, or at the end looks at all results: a lease, as chunks have one.
    ingest_token = models.PositiveIntegerField(default=0, db_default=0)
    ingest_expires_at = models.DateTimeField(null=True)
    output_file = models.OneToOneField(File, models.SET_NULL, null=True, related_name="output_of")
    error_file = models.OneToOneField(File, models.SET_NULL, null=True, related_name="errors_of")
    output_expires_after_s = models.PositiveIntegerField(null=True)
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - unique, if given
    request_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the request")

    endpoint = models.CharField(max_length=MAX_PATH_CHARS)
    defaults = models.JSONField(default=dict, help_text="lies under the body of every prompt")
    # What the prompts ask for, known when they are read: the model if it is one, and how many.
    model = models.CharField(max_length=MAX_MODEL_CHARS, blank=True, default="", db_default="")
    model_count = models.PositiveIntegerField(null=True)
    schema_bytes = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="of its different large schemas together"
    )
    batch_size = models.PositiveIntegerField(default=DEFAULT_BATCH_SIZE)
    schedule = models.CharField(max_length=16, choices=choices(SCHEDULES), default=SCHEDULES[0])
    parallelism = models.PositiveIntegerField(
        default=1, help_text="runners at once, each with a window of its own"
    )
    priority = models.IntegerField(default=0, help_text="higher goes first where batches wait")
    # A batch that a command runs itself is not for the workers.
    in_background = models.BooleanField(default=True)
    max_attempts = models.PositiveIntegerField(default=RetryPolicy().max_attempts)
    timeout_s = models.FloatField(default=DEFAULT_TIMEOUT_S)
    metadata = models.JSONField(default=dict, blank=True)
    # Receives the event of its end; the signing secret is in the webhook endpoint `callback`.
    callback_url = models.CharField(max_length=500, blank=True, default="", db_default="")

    status = models.CharField(
        max_length=16, choices=choices(BatchStatus), default=BatchStatus.VALIDATING
    )
    # Why work stands still although the status is in_progress; empty while it does not.
    pause_reason = models.CharField(max_length=1000, blank=True)
    pause_kind = pause_kind_field()
    errors = models.JSONField(default=list, blank=True, help_text="what validation found")
    warnings = models.JSONField(default=list, blank=True, help_text="what a provider may refuse")
    # How an answer is made to fit its schema, after it was taken as it came.
    extract_json = models.BooleanField(default=True, help_text="strip fences and prose around it")
    repair_json = models.BooleanField(default=True, help_text="mend its syntax")
    max_repair_attempts = models.PositiveSmallIntegerField(
        default=1, help_text="ask again so often, with what was wrong"
    )
    strict_schemas = models.BooleanField(
        default=False, help_text="send schemas in the form of the provider's strict mode"
    )

    # Set by who lets it go on after the provider refused all of its first requests.
    trusts_refusals = models.BooleanField(
        default=False, db_default=False, help_text="what the provider refuses is final at once"
    )

    # It pauses before it spends more, except for what is in flight then. Dollars.
    max_cost = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)
    max_tokens_total = models.PositiveBigIntegerField(null=True, blank=True)

    total = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    calls = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    # In dollars, of the models whose prices are known.
    cost = models.DecimalField(max_digits=16, decimal_places=8, default=0, db_default=0)

    # Time with at least one runner at work, and the time of all calls, in seconds.
    active_s = models.FloatField(default=0.0)
    active_until = models.FloatField(default=0.0, help_text="Unix time up to which it is counted")
    busy_s = models.FloatField(default=0.0)
    first_result_s = models.FloatField(null=True, help_text="active time until the first answer")
    # What only a look at every result tells: written when the batch ends.
    report = models.JSONField(null=True, help_text="latency, failures by kind, rungs of answers")

    created_at = models.DateTimeField(db_default=Now())
    # Counted from the creation, and anew from each retry.
    completion_window = models.DurationField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    in_progress_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    # Deleted for its owner; its rows are purged in pieces.
    deleted_at = models.DateTimeField(null=True)

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "batches"
        constraints = (
            one_of("status", BatchStatus, "batch_status_known"),
            one_of("schedule", SCHEDULES, "batch_schedule_known"),
            models.CheckConstraint(
                condition=Q(endpoint__startswith="/v1/"), name="batch_endpoint_is_path"
            ),
            models.CheckConstraint(
                condition=Q(total__gte=F("succeeded") + F("failed")), name="batch_counts_add_up"
            ),
            models.CheckConstraint(
                condition=Q(batch_size__gte=1, max_attempts__gte=1, timeout_s__gt=0)
                & Q(parallelism__gte=1),
                name="batch_options_positive",
            ),
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="batch_idempotency_key_once",
            ),
        )
        indexes = (models.Index(fields=["owner", "id"], name="batch_of_owner"),)

    def __str__(self) -> str:
        return self.public_id

    @property
    def standstill(self) -> str:
        """Why nothing is sent although it is in progress: its own reason or its provider's."""
        return self.pause_reason or self.provider.pause_reason

    @property
    def standstill_kind(self) -> str:
        """The PauseKind of `standstill`; empty while there is none."""
        return self.pause_kind if self.pause_reason else self.provider.pause_kind


@receiver(pre_delete, sender=Batch)
def delete_outputs(instance: Batch, **_: object) -> None:
    """Delete the output files of a batch with it, in the transaction that deletes it.

    The row is locked and read again: the files may have been made after the instance was loaded.
    """
    Batch.objects.select_for_update().filter(pk=instance.pk).first()
    File.objects.filter(Q(output_of=instance.pk) | Q(errors_of=instance.pk)).delete()
