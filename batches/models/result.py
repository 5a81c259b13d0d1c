"""Results: the outcome of each prompt."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from batches.engine.errors import FailureKind
from batches.engine.records import Rung
from batches.models.batch import Batch
from batches.models.bounds import DIGEST_BYTES
from batches.models.fields import choices
from batches.models.work import Prompt


class ResultQuerySet(models.QuerySet["Result"]):
    def between(self, batch_id: Any, lo: Any, hi: Any) -> "ResultQuerySet":
        """Select the results of the prompts from `lo` up to but not including `hi`.

        The index has the status before the index of the prompt. Without the statuses, SQLite would
        read the whole batch.
        """
        statuses = (Result.SUCCEEDED, Result.FAILED)
        return self.filter(batch_id=batch_id, status__in=statuses, index__gte=lo, index__lt=hi)


class Result(models.Model):
    """The stored outcome of one prompt: inserted once, never changed. Times in seconds."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    # Kinds of prompts that never ran; they do not count as failed.
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
    # The answer as JSON text that fits its schema, and the rung of the ladder that found it.
    parsed = models.TextField(null=True)  # noqa: DJ001 - null where no schema was asked for
    rung = models.CharField(max_length=16, blank=True, db_default="", choices=choices(Rung))
    # The answers before the last one, as JSON: pairs of an answer and the errors it was sent back
    # with. Null if the model was not asked again.
    rejected = models.TextField(null=True)  # noqa: DJ001 - null means that there are none
    # The models that were asked, as JSON: how the answer of each failed, its calls and tokens. The
    # last one gave the answer. Null if only one was asked.
    escalation = models.TextField(null=True)  # noqa: DJ001 - null means that there was none
    finish_reason = models.CharField(max_length=64, blank=True)
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    calls = models.PositiveIntegerField()
    latency_s = models.FloatField(null=True, help_text="of the last call; null if none was made")
    elapsed_s = models.FloatField(help_text="from the first call to the outcome")
    done_at = models.DateTimeField()
    # The prompt, of this batch or another, that this answer was made for. Null if a call was made.
    source = models.BigIntegerField(null=True)

    objects = ResultQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(status="succeeded", kind="") | (Q(status="failed") & ~Q(kind="")),
                name="result_failed_has_a_kind",
            ),
        )
        indexes = (
            models.Index(fields=["batch", "status", "index"], name="result_of_batch"),
            models.Index(
                fields=["batch", "kind", "index"],
                condition=Q(status="failed"),
                name="result_failed_of_kind",
            ),
        )


class KeptAnswer(models.Model):
    """The place of the answer to a request: the result of a prompt, as long as that exists.

    The digest is of the request and of its owner, so that no other owner's request has it.
    """

    digest = models.BinaryField(max_length=DIGEST_BYTES, primary_key=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+", db_index=False
    )
    prompt_id = models.BigIntegerField()
    done_at = models.DateTimeField()

    class Meta:
        indexes = (models.Index(fields=["owner", "done_at"], name="answer_of_owner"),)
