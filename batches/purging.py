"""A deleted batch is taken apart in pieces, so that no transaction is long."""

from django.db import transaction

from batches.models import Batch, Prompt, Result

PROMPTS_AT_ONCE = 5_000


def purge(batch_id: int) -> None:
    """Remove a batch that is marked as deleted, with all that belongs to it.

    It may be interrupted and begun anew, and several may do it at once.
    """
    batch = Batch.objects.filter(pk=batch_id, deleted_at__isnull=False).first()
    if batch is None:
        return
    for lo in range(0, batch.total, PROMPTS_AT_ONCE):
        window = {"batch_id": batch_id, "index__gte": lo, "index__lt": lo + PROMPTS_AT_ONCE}
        with transaction.atomic():
            for model in (Result, Prompt):
                rows = model._default_manager.filter(**window)
                rows._raw_delete(rows.db)
    with transaction.atomic():
        batch.chunks.all().delete()
        batch.slots.all().delete()
        Batch.objects.filter(pk=batch_id).delete()
