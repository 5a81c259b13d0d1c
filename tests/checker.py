"""What must be true of every batch, whatever was done to it."""

from collections import Counter

from batches.models import Batch, Prompt, Result


def check_batch(batch: Batch, *, status: str = "completed") -> None:
    """One result for each prompt of a batch that ended, and counts that are those of the rows."""
    batch.refresh_from_db()
    assert batch.status == status
    prompts = dict(Prompt.objects.filter(batch=batch).values_list("pk", "index"))
    results = dict(Result.objects.filter(batch=batch).values_list("pk", "index"))
    assert sorted(prompts.values()) == list(range(batch.total))
    assert results == prompts
    ran = Result.objects.filter(batch=batch).exclude(kind__in=Result.NEVER_RAN)
    statuses = Counter(ran.values_list("status", flat=True))
    assert (statuses["succeeded"], statuses["failed"]) == (batch.succeeded, batch.failed)
    assert not batch.chunks.unfinished().exists()
