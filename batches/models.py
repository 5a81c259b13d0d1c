"""What is stored. Constraints make wrong states impossible; statuses move in guarded transitions.

A batch of a million prompts is a million Prompt rows that never change and a million Result rows
that are only inserted. What changes in a run are its Batch row and its Chunk rows.
"""

import uuid
from collections.abc import Collection, Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from batches.engine.errors import FailureKind
from batches.engine.execute import DEFAULT_BATCH_SIZE, DEFAULT_TIMEOUT_S
from batches.engine.records import ENDPOINTS, SCHEDULES
from batches.engine.retry import RetryPolicy
from batches.inputs import MAX_CUSTOM_ID_CHARS
from batches.lifecycle import BatchStatus, ChunkState, check_transition


def public_id(prefix: str) -> str:
    """An identifier that can be shown and cannot be guessed."""
    return f"{prefix}{uuid.uuid4().hex}"


def choices(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(str(value), str(value)) for value in values]


def one_of(field: str, values: Iterable[str], name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=Q((f"{field}__in", list(map(str, values)))), name=name)


class Provider(models.Model):
    """An OpenAI-compatible endpoint. Made by staff only: it decides where requests go."""

    name = models.CharField(max_length=100, unique=True)
    base_url = models.CharField(max_length=500, help_text="such as https://api.example.com/v1")
    api_key_env = models.CharField(
        max_length=100,
        blank=True,
        help_text="the environment variable that holds the key; the key itself is not stored",
    )
    model_names = models.JSONField(
        default=list, blank=True, help_text="models it serves; empty: whatever it is asked for"
    )
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="provider_one_default"
            ),
        )

    def __str__(self) -> str:
        return self.name


class File(models.Model):
    """An uploaded input or a written output. Its bytes are in the file storage."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "file-"), editable=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    purpose = models.CharField(max_length=32)
    filename = models.CharField(max_length=255)
    content = models.FileField(upload_to="%Y/%m", max_length=255)
    bytes = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(bytes__gte=0), name="file_bytes_positive"),
        )

    def __str__(self) -> str:
        return self.filename


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

    def runnable(self) -> "BatchQuerySet":
        """Batches whose chunks may be claimed."""
        return self.filter(
            Q(expires_at=None) | Q(expires_at__gt=Now()),
            status=BatchStatus.IN_PROGRESS,
            pause_reason="",
        )

    def waiting(self) -> "BatchQuerySet":
        """Batches for the workers that have a chunk and a slot which nobody has."""
        chunks = Chunk.objects.claimable().filter(batch=OuterRef("pk"))
        slots = Slot.objects.claimable().filter(batch=OuterRef("pk"))
        return self.runnable().filter(Exists(chunks), Exists(slots), in_background=True)

    def overdue(self) -> "BatchQuerySet":
        return self.filter(status=BatchStatus.IN_PROGRESS, expires_at__lte=Now())


class Batch(models.Model):
    """An ordered list of prompts run with one set of options."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "batch_"), editable=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="batches")
    input_file = models.ForeignKey(File, models.PROTECT, null=True, related_name="+")
    output_file = models.ForeignKey(File, models.SET_NULL, null=True, related_name="+")
    error_file = models.ForeignKey(File, models.SET_NULL, null=True, related_name="+")

    endpoint = models.CharField(max_length=64, choices=choices(ENDPOINTS))
    defaults = models.JSONField(default=dict, help_text="lies under the body of every prompt")
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

    status = models.CharField(
        max_length=16, choices=choices(BatchStatus), default=BatchStatus.VALIDATING
    )
    # Why work stands still although the status is in_progress; empty while it does not.
    pause_reason = models.CharField(max_length=1000, blank=True)
    errors = models.JSONField(default=list, blank=True, help_text="what validation found")

    total = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    calls = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)

    # Time with at least one runner at work, and the time of all calls, in seconds.
    active_s = models.FloatField(default=0.0)
    active_until = models.FloatField(default=0.0, help_text="Unix time up to which it is counted")
    busy_s = models.FloatField(default=0.0)
    first_result_s = models.FloatField(null=True, help_text="active time until the first answer")

    created_at = models.DateTimeField(db_default=Now())
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
            one_of("endpoint", ENDPOINTS, "batch_endpoint_known"),
            models.CheckConstraint(
                condition=Q(total__gte=F("succeeded") + F("failed")), name="batch_counts_add_up"
            ),
            models.CheckConstraint(
                condition=Q(batch_size__gte=1, max_attempts__gte=1, timeout_s__gt=0)
                & Q(parallelism__gte=1),
                name="batch_options_positive",
            ),
        )

    def __str__(self) -> str:
        return self.public_id


class Prompt(models.Model):
    """One request of a batch. Never changes; `body` is JSON text in the endpoint's dialect."""

    # No constraint in the database: COPY of a million rows would look the batch up a million
    # times. Prompts are written and deleted by their batch alone.
    batch = models.ForeignKey(
        Batch, models.CASCADE, related_name="prompts", db_constraint=False, db_index=False
    )
    index = models.PositiveIntegerField()
    custom_id = models.CharField(max_length=MAX_CUSTOM_ID_CHARS)
    body = models.TextField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["batch", "index"], name="prompt_index_once"),
            models.UniqueConstraint(fields=["batch", "custom_id"], name="prompt_custom_id_once"),
        )


class ChunkQuerySet(models.QuerySet["Chunk"]):
    def claimable(self) -> "ChunkQuerySet":
        """Chunks that nobody works on: never leased, released, or with a lease that ran out."""
        return self.filter(
            Q(state=ChunkState.READY) | Q(state=ChunkState.LEASED, lease_expires_at__lt=Now())
        )

    def unfinished(self) -> "ChunkQuerySet":
        return self.exclude(state=ChunkState.DONE)


class Chunk(models.Model):
    """`batch_size` consecutive prompts, from `lo` up to but not including `hi`: what is leased."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="chunks", db_index=False)
    lo = models.PositiveIntegerField()
    hi = models.PositiveIntegerField()
    state = models.CharField(
        max_length=8, choices=choices(ChunkState), default=ChunkState.READY, db_default="ready"
    )
    # Grows by one at each claim; a runner whose token is no longer the newest has lost the chunk.
    lease_token = models.PositiveBigIntegerField(default=0, db_default=0)
    lease_expires_at = models.DateTimeField(null=True)
    # Claims that found the lease of a runner that vanished.
    crashes = models.PositiveIntegerField(default=0, db_default=0)
    # In quarantine: the prompt that is being sent, and how many runners vanished over it.
    suspect = models.PositiveIntegerField(null=True)
    suspect_crashes = models.PositiveIntegerField(default=0, db_default=0)

    objects = ChunkQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["batch", "lo"], name="chunk_once"),
            models.CheckConstraint(condition=Q(lo__lt=F("hi")), name="chunk_not_empty"),
            one_of("state", ChunkState, "chunk_state_known"),
            models.CheckConstraint(
                condition=Q(state=ChunkState.LEASED, lease_expires_at__isnull=False)
                | (~Q(state=ChunkState.LEASED) & Q(lease_expires_at__isnull=True)),
                name="chunk_lease_has_an_end",
            ),
        )
        indexes = (
            models.Index(
                fields=["batch", "lo"], condition=~Q(state=ChunkState.DONE), name="chunk_unfinished"
            ),
        )


class SlotQuerySet(models.QuerySet["Slot"]):
    def claimable(self) -> "SlotQuerySet":
        return self.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now()))

    def taken(self) -> "SlotQuerySet":
        return self.filter(lease_expires_at__gte=Now())


class Slot(models.Model):
    """A place for a runner on a batch: there are as many as its parallelism."""

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="slots", db_index=False)
    number = models.PositiveIntegerField()
    lease_token = models.PositiveBigIntegerField(default=0, db_default=0)
    lease_expires_at = models.DateTimeField(null=True)
    runner = models.CharField(max_length=200, blank=True, help_text="host and process")

    objects = SlotQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["batch", "number"], name="slot_once"),)


class Result(models.Model):
    """The stored outcome of one prompt: inserted once, never changed. Times in seconds."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    # Kinds of prompts that never ran; they are not among the failed ones of their batch.
    NEVER_RAN = (FailureKind.CANCELLED, FailureKind.EXPIRED)

    prompt = models.OneToOneField(
        Prompt, models.CASCADE, primary_key=True, related_name="result", db_constraint=False
    )
    batch = models.ForeignKey(
        Batch, models.CASCADE, related_name="results", db_constraint=False, db_index=False
    )
    index = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=choices([SUCCEEDED, FAILED]))
    kind = models.CharField(max_length=32, blank=True, choices=choices(FailureKind))
    code = models.CharField(max_length=200, blank=True)
    message = models.TextField(blank=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    request_id = models.CharField(max_length=200, blank=True)
    body = models.TextField(null=True)  # noqa: DJ001 - null is "no reply", which "" is not
    finish_reason = models.CharField(max_length=64, blank=True)
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    calls = models.PositiveIntegerField()
    latency_s = models.FloatField(null=True, help_text="of the last call; null if none was made")
    elapsed_s = models.FloatField(help_text="from the first call to the outcome")
    done_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(status="succeeded", kind="") | (Q(status="failed") & ~Q(kind="")),
                name="result_failed_has_a_kind",
            ),
        )
        indexes = (models.Index(fields=["batch", "status", "index"], name="result_of_batch"),)


class ApiToken(models.Model):
    """A user's key to the API. Only its SHA-256 is stored; the prefix tells tokens apart."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100, blank=True)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["owner", "prefix"], name="token_prefix_once"),
        )

    def __str__(self) -> str:
        return f"{self.name or 'token'} ({self.prefix}…)"


def lease_end(seconds: float) -> Any:
    """The moment so many seconds from now on the database's clock."""
    return Now() + timedelta(seconds=seconds)
