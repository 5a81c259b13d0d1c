"""The prompts of a batch, the chunks that are leased, the slots of its runners."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from batches.engine.records import MAX_CUSTOM_ID_CHARS
from batches.lifecycle import ChunkState
from batches.models.bounds import DIGEST_BYTES
from batches.models.fields import choices, one_of


class Prompt(models.Model):
    """One request of a batch. Never changes; `body` is JSON text in the endpoint's dialect.

    `row` is the row of a table that a template made it of, as JSON text: cells by column. Equal
    requests have equal digests; null if answers are not used again.
    """

    # No constraint in the database: a COPY of a million rows would look up the batch a million
    # times. Prompts are written and deleted only by their batch.
    batch = models.ForeignKey(
        "batches.Batch", models.CASCADE, related_name="prompts", db_constraint=False, db_index=False
    )
    index = models.PositiveIntegerField()
    custom_id = models.CharField(max_length=MAX_CUSTOM_ID_CHARS)
    body = models.TextField()
    row = models.TextField(null=True)  # noqa: DJ001 - null without a template
    digest = models.BinaryField(max_length=DIGEST_BYTES, null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["batch", "index"], name="prompt_index_once"),
            models.UniqueConstraint(fields=["batch", "custom_id"], name="prompt_custom_id_once"),
        )
        indexes = (
            models.Index(
                fields=["batch", "digest", "index"],
                condition=Q(digest__isnull=False),
                name="prompt_equal",
            ),
        )


class ChunkQuerySet(models.QuerySet["Chunk"]):
    def claimable(self) -> "ChunkQuerySet":
        """Select chunks without a runner: never leased, released, or with an expired lease."""
        # The condition "unfinished" is redundant, but lets SQLite use the index of that condition.
        return self.unfinished().filter(
            Q(state=ChunkState.READY) | Q(state=ChunkState.LEASED, lease_expires_at__lt=Now())
        )

    def unfinished(self) -> "ChunkQuerySet":
        return self.exclude(state=ChunkState.DONE)

    def behind_gate(self) -> "ChunkQuerySet":
        """Select chunks that wait until the pilot of their batch is judged."""
        return self.unfinished().filter(state=ChunkState.WAITING)

    def before_gate(self) -> "ChunkQuerySet":
        """Select unfinished chunks that may run: of a pilot, as long as the gate is closed."""
        return self.unfinished().exclude(state=ChunkState.WAITING)

    def unheld(self) -> "ChunkQuerySet":
        """Select unfinished chunks that no runner holds."""
        free = ~Q(state=ChunkState.LEASED) | Q(lease_expires_at__lt=Now())
        return self.unfinished().filter(free)


class Chunk(models.Model):
    """Up to `batch_size` consecutive prompts, from `lo` up to but not including `hi`; the leased
    unit. A chunk of a pilot has only prompts of the pilot."""

    batch = models.ForeignKey(
        "batches.Batch", models.CASCADE, related_name="chunks", db_index=False
    )
    lo = models.PositiveIntegerField()
    hi = models.PositiveIntegerField()
    state = models.CharField(
        max_length=8, choices=choices(ChunkState), default=ChunkState.READY, db_default="ready"
    )
    # Grows by one at each claim; a runner whose token is no longer the newest has lost the chunk.
    lease_token = models.PositiveBigIntegerField(default=0, db_default=0)
    lease_expires_at = models.DateTimeField(null=True)
    # Claims that found the expired lease of a vanished runner.
    crashes = models.PositiveIntegerField(default=0, db_default=0)
    # In quarantine: the prompt that is being sent, and the number of runners that vanished over it.
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
    """A place for a runner on a batch; a batch has as many slots as its parallelism."""

    batch = models.ForeignKey("batches.Batch", models.CASCADE, related_name="slots", db_index=False)
    number = models.PositiveIntegerField()
    lease_token = models.PositiveBigIntegerField(default=0, db_default=0)
    lease_expires_at = models.DateTimeField(null=True)
    runner = models.CharField(max_length=200, blank=True, help_text="host and process")
    waiting = models.JSONField(
        null=True, help_text="what the runner waits for: reason, since and next (Unix times)"
    )

    objects = SlotQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["batch", "number"], name="slot_once"),)
