"""Answers that are written into rows of the host's own tables, and what wrote them."""

from enum import StrEnum
from typing import Any

from django.db import models
from django.db.models.functions import Now

from batches.engine.records import MAX_CUSTOM_ID_CHARS
from batches.models.batch import Batch
from batches.models.bounds import DIGEST_BYTES, MAX_MODEL_CHARS
from batches.models.fields import choices, one_of

SKIP, WRITE = "skip", "write"
IF_CHANGED = (SKIP, WRITE)
# "app.Model"; Django bounds each part to 100 characters.
MAX_LABEL_CHARS = 201
MAX_MESSAGE_CHARS = 2000


class AnswerState(StrEnum):
    """The state of an answer that was to be written into a row."""

    WRITTEN = "written"
    # The row has changed since the prompt was made of it.
    CHANGED = "changed"
    # The row does not exist any more.
    GONE = "gone"
    # The values do not fit the fields.
    INVALID = "invalid"
    # An error was raised while the row was saved.
    FAILED = "failed"


class Enrichment(models.Model):
    """The rows that a batch is about, and where its answers go.

    A prompt's custom_id names its row. `into` are fields of the row with the fields of the answer,
    or `save` is the path of a function. `messages` are the template, and `lookups` the relations
    that it reads.
    """

    batch = models.OneToOneField(Batch, models.CASCADE, primary_key=True, related_name="enrichment")
    label = models.CharField(max_length=MAX_LABEL_CHARS)
    messages = models.JSONField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the messages")
    lookups = models.JSONField(default=list)
    into = models.JSONField(null=True)
    save_path = models.TextField(blank=True, default="")
    if_changed = models.CharField(max_length=8, choices=choices(IF_CHANGED), default=SKIP)

    class Meta:
        default_permissions = ()
        constraints = (one_of("if_changed", IF_CHANGED, "enrichment_if_changed_known"),)


def rows_of(batch: Batch) -> str:
    """Return the name of the model whose rows a batch is about; "" for any other batch."""
    label = Enrichment.objects.filter(batch=batch).values_list("label", flat=True).first()
    return label or ""


class AnswerQuerySet(models.QuerySet["Answer"]):
    def for_row(self, row: models.Model) -> "AnswerQuerySet":
        """Select the answers for a row, the latest first."""
        return self.for_model(type(row)).filter(row_pk=str(row.pk)).order_by("-pk")

    def for_batch(self, batch: Batch) -> "AnswerQuerySet":
        """Select the answers of a batch, in the order of their prompts."""
        return self.filter(batch_public_id=batch.public_id).order_by("prompt_id")

    def for_model(self, model: type[models.Model]) -> "AnswerQuerySet":
        """Select the answers for the rows of a model."""
        return self.filter(label=label_of(model))


class Answer(models.Model):
    """The record of an answer that was to be written into a row; stored with the result.

    It stays when the batch is deleted, so it names the batch and does not refer to it.
    """

    batch_public_id = models.CharField(max_length=64)
    prompt_id = models.BigIntegerField(unique=True)
    label = models.CharField(max_length=MAX_LABEL_CHARS)
    row_pk = models.CharField(max_length=MAX_CUSTOM_ID_CHARS)
    # The names of the fields, each with its part of the answer, or the path of the function.
    fields = models.TextField()
    model = models.CharField(max_length=MAX_MODEL_CHARS)
    template_digest = models.CharField(max_length=64)
    digest = models.BinaryField(max_length=DIGEST_BYTES, help_text="of the prompt")
    state = models.CharField(max_length=8, choices=choices(AnswerState))
    message = models.TextField(blank=True, default="")
    at = models.DateTimeField(db_default=Now())

    objects = AnswerQuerySet.as_manager()

    class Meta:
        # A million rows are only read, beside the rows that they are about.
        default_permissions = ("view",)
        constraints = (one_of("state", AnswerState, "answer_state_known"),)
        indexes = (
            models.Index(fields=["label", "row_pk", "id"], name="answer_of_row"),
            models.Index(fields=["batch_public_id", "state"], name="answer_of_batch"),
        )

    def __str__(self) -> str:
        return f"{self.label} {self.row_pk}: {self.state}"


def label_of(model: type[models.Model]) -> str:
    """Return the name of the table's model, which a proxy shares with its model."""
    concrete: Any = model._meta.concrete_model
    return str(concrete._meta.label)
