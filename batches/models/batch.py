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
from batches.engine.records import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_TIMEOUT_S,
    ORDERS,
    REUSES,
    SCHEDULES,
)
from batches.engine.retry import RetryPolicy
from batches.inputs.input_formats import INPUT_FORMATS
from batches.lifecycle import BatchStatus, check_transition
from batches.models.bounds import MAX_MODEL_CHARS, MAX_NAME_CHARS
from batches.models.fields import choices, one_of, pause_kind_field, public_id
from batches.models.file import File
from batches.models.provider import Provider
from batches.models.template import Template
from batches.models.work import Chunk, Slot


class BatchQuerySet(models.QuerySet["Batch"]):
    def move(self, target: BatchStatus, *, sources: Collection[BatchStatus], **values: Any) -> bool:
        """Move the batch of this queryset to a status; return True if it was in one of `sources`.

        The time of the new status is set on the database's clock. Raise ValueError for a transition
        that the lifecycle does not have.
        """
        for source in sources:
            check_transition(source, target)
        stamped = {f"{target}_at": Now(), **values}
        return bool(self.filter(status__in=sources).update(status=target, **stamped))

    def whole(self) -> "BatchQuerySet":
        """Load provider, template and files in the same query, so that a file deleted meanwhile
        cannot break a response."""
        return self.select_related("provider", "template", "output_file", "error_file")

    def in_time(self) -> "BatchQuerySet":
        """Select batches in progress that have not expired, including paused batches."""
        in_time = Q(expires_at=None) | Q(expires_at__gt=Now())
        return self.filter(in_time, status=BatchStatus.IN_PROGRESS)

    def runnable(self, *, probing: bool = False) -> "BatchQuerySet":
        """Select batches whose chunks may be claimed; or that may probe a paused provider."""
        is_open = Q(provider__pause_reason="")
        return self.in_time().filter(~is_open if probing else is_open, pause_reason="")

    def waiting(self, *, probing: bool = False) -> "BatchQuerySet":
        """Select batches for the workers that have a claimable chunk and a free slot."""
        chunks = Chunk.objects.claimable().filter(batch=OuterRef("pk"))
        slots = Slot.objects.claimable().filter(batch=OuterRef("pk"))
        runnable = self.runnable(probing=probing)
        return runnable.filter(Exists(chunks), Exists(slots), in_background=True)

    def at_gate(self) -> "BatchQuerySet":
        """Select batches in progress whose pilot is done, with prompts that wait behind the gate.

        Whether a gate is closed is not stored: it is, as long as a chunk waits.
        """
        chunks = Chunk.objects.filter(batch=OuterRef("pk"))
        this = self.filter(status=BatchStatus.IN_PROGRESS, pilot_rows__isnull=False)
        return this.filter(Exists(chunks.behind_gate()), ~Exists(chunks.before_gate()))

    def overdue(self) -> "BatchQuerySet":
        return self.filter(status=BatchStatus.IN_PROGRESS, expires_at__lte=Now())


class Batch(models.Model):
    """An ordered list of prompts run with one set of options."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "batch_"), editable=False
    )
    # For people, who find it by that; by default the name of the input file.
    name = models.CharField(max_length=MAX_NAME_CHARS, blank=True, default="", db_default="")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="batches")
    input_file = models.ForeignKey(File, models.SET_NULL, null=True, related_name="+")
    # The ID from the client; the file may never have existed, or may be deleted.
    input_file_public_id = models.CharField(max_length=64, blank=True)
    # How to read the input file; without a format, it has lines of the Batch API.
    input_format = models.CharField(
        max_length=8, choices=choices(INPUT_FORMATS), blank=True, default="", db_default=""
    )
    input_column = models.TextField(blank=True, default="", db_default="")
    # What makes a prompt of each row of a table, and the columns of the table, as its header has
    # them. Restricted and not protected: with its owner, a template and its batches go together.
    template = models.ForeignKey(Template, models.RESTRICT, null=True, related_name="batches")
    columns = models.JSONField(null=True)
    # The lease of the process that reads the input, or at the end reads all results.
    ingest_token = models.PositiveIntegerField(default=0, db_default=0)
    ingest_expires_at = models.DateTimeField(null=True)
    output_file = models.OneToOneField(File, models.SET_NULL, null=True, related_name="output_of")
    error_file = models.OneToOneField(File, models.SET_NULL, null=True, related_name="errors_of")
    output_expires_after_s = models.PositiveIntegerField(null=True)
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - unique, if given
    request_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the request")

    endpoint = models.CharField(max_length=MAX_PATH_CHARS)
    defaults = models.JSONField(default=dict, help_text="lies under the body of every prompt")
    # Known once the input is read: the model, if it is the same in all prompts, and their number.
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
    order = models.CharField(
        max_length=8, choices=choices(ORDERS), default=ORDERS[0], db_default=ORDERS[0]
    )
    reuse = models.CharField(
        max_length=8, choices=choices(REUSES), default=REUSES[0], db_default=REUSES[0]
    )
    priority = models.IntegerField(default=0, help_text="higher goes first where batches wait")
    # False for a batch that a command runs itself, without the workers.
    in_background = models.BooleanField(default=True)
    max_attempts = models.PositiveIntegerField(default=RetryPolicy().max_attempts)
    timeout_s = models.FloatField(default=DEFAULT_TIMEOUT_S)
    metadata = models.JSONField(default=dict, blank=True)
    # Receives an event when the batch ends; the webhook endpoint `callback` has the secret.
    callback_url = models.CharField(max_length=500, blank=True, default="", db_default="")

    status = models.CharField(
        max_length=16, choices=choices(BatchStatus), default=BatchStatus.VALIDATING
    )
    # The reason why the batch stands still although it is in_progress; empty while it runs.
    pause_reason = models.CharField(max_length=1000, blank=True)
    pause_kind = pause_kind_field()
    errors = models.JSONField(default=list, blank=True, help_text="what validation found")
    warnings = models.JSONField(default=list, blank=True, help_text="what a provider may refuse")
    # Steps that make an answer fit its schema, if the unchanged answer does not.
    extract_json = models.BooleanField(default=True, help_text="strip fences and prose around it")
    repair_json = models.BooleanField(default=True, help_text="mend its syntax")
    max_repair_attempts = models.PositiveSmallIntegerField(
        default=1, help_text="ask again so often, with what was wrong"
    )
    strict_schemas = models.BooleanField(
        default=False, help_text="send schemas in the form of the provider's strict mode"
    )
    # The models that are asked one after the other if answers fail, each with the kinds of failures
    # before it; null if there are none.
    escalate = models.JSONField(null=True, blank=True)

    # Set when a user resumes the batch after the provider refused all its first requests.
    trusts_refusals = models.BooleanField(
        default=False, db_default=False, help_text="what the provider refuses is final at once"
    )

    # The batch pauses when this is spent; calls in flight at that time are extra. Dollars.
    max_cost = models.DecimalField(max_digits=14, decimal_places=6, null=True, blank=True)
    max_tokens_total = models.PositiveBigIntegerField(null=True, blank=True)

    # The number of prompts that run first; null without a pilot. With rules in `continue_when` that
    # all hold, or none in it, the rest follows without a user.
    pilot_rows = models.PositiveIntegerField(null=True, blank=True)
    continue_when = models.JSONField(null=True, blank=True)
    # The column whose values the pilot represents, and the rows that were chosen for this: pairs of
    # the number of prompts with a value and the indexes of the prompts that run first.
    pilot_by = models.TextField(blank=True, default="", db_default="")
    pilot_groups = models.JSONField(null=True, blank=True)
    # Rules for all outcomes so far: the batch pauses when one of them is broken.
    stop_when = models.JSONField(null=True, blank=True)

    total = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    calls = models.PositiveBigIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    cached_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)
    # Prompts that succeeded without a call, with the answer to an equal request, and the tokens
    # that this answer took.
    reused = models.PositiveIntegerField(default=0, db_default=0)
    saved_input_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    saved_output_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    # In dollars, for models with a known price.
    cost = models.DecimalField(max_digits=16, decimal_places=8, default=0, db_default=0)

    # The time with at least one active runner, and the sum of all call times, in seconds.
    active_s = models.FloatField(default=0.0)
    active_until = models.FloatField(default=0.0, help_text="Unix time up to which it is counted")
    busy_s = models.FloatField(default=0.0)
    first_result_s = models.FloatField(null=True, help_text="active time until the first answer")
    # The bytes of the output file so far, for lines in this format; null if they are not counted.
    output_bytes = models.PositiveBigIntegerField(null=True)
    output_format = models.PositiveSmallIntegerField(null=True)
    # Figures that need all results: stored when the batch ends.
    report = models.JSONField(null=True, help_text="latency, failures by kind, rungs of answers")

    created_at = models.DateTimeField(db_default=Now())
    # Counted from the creation or the last retry.
    completion_window = models.DurationField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    in_progress_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    # Set when the owner deletes the batch; its rows are then purged in pieces.
    deleted_at = models.DateTimeField(null=True)

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "batches"
        constraints = (
            one_of("status", BatchStatus, "batch_status_known"),
            one_of("schedule", SCHEDULES, "batch_schedule_known"),
            one_of("reuse", REUSES, "batch_reuse_known"),
            one_of("order", ORDERS, "batch_order_known"),
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
        indexes = (
            models.Index(fields=["owner", "id"], name="batch_of_owner"),
            # Workers look for batches in progress, which are few among the ones that have ended.
            models.Index(fields=["status"], name="batch_by_status"),
        )

    def __str__(self) -> str:
        return self.public_id

    @property
    def most_runners(self) -> int:
        """Return the number of runners that find work on the batch."""
        return min(self.parallelism, -(-self.total // self.batch_size))

    @property
    def title(self) -> str:
        """Return the name of the batch, or its ID if it has none."""
        return self.name or self.public_id

    @property
    def standstill(self) -> str:
        """Return why nothing is sent although it is in progress: its or its provider's reason."""
        return self.pause_reason or self.provider.pause_reason

    @property
    def standstill_kind(self) -> str:
        """The PauseKind of `standstill`; empty while there is none."""
        return self.pause_kind if self.pause_reason else self.provider.pause_kind


@receiver(pre_delete, sender=Batch)
def delete_outputs(instance: Batch, **_: object) -> None:
    """Delete the output files of a batch in the transaction that deletes the batch.

    Lock and reload the row: the files may have been created after the instance was loaded.
    """
    Batch.objects.select_for_update().filter(pk=instance.pk).first()
    File.objects.filter(Q(output_of=instance.pk) | Q(errors_of=instance.pk)).delete()
