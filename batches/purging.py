"""A deleted batch is taken apart in pieces, so that no transaction is long."""

from django.db import transaction
from django.db.models import Max

from batches.models import Batch, Prompt, Result
from batches.outputs import drop_outputs

PROMPTS_AT_ONCE = 5_000


def purge(batch_id: int) -> None:
    """Remove a batch that is marked as deleted, with all that belongs to it.

    It may be interrupted and begun anew, and several may do it at once.
    """
    batch = Batch.objects.filter(pk=batch_id, deleted_at__isnull=False).first()
    if batch is None:
        return
    # Not by the total of the batch: an input that was refused has prompts and no total.
    top = Prompt.objects.filter(batch=batch).aggregate(top=Max("index"))["top"]
    for lo in range(0, batch.total if top is None else top + 1, PROMPTS_AT_ONCE):
        window = {"batch_id": batch_id, "index__gte": lo, "index__lt": lo + PROMPTS_AT_ONCE}
        with transaction.atomic():
            for model in (Result, Prompt):
                rows = model._default_manager.filter(**window)
                rows._raw_delete(rows.db)
    with transaction.atomic():
        batch.chunks.all().delete()
        batch.slots.all().delete()
        drop_outputs(batch)
        Batch.objects.filter(pk=batch_id).delete()
