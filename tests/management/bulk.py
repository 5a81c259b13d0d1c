"""What the bulk command has stored."""

from batches.models import Batch


def batch_id() -> str:
    """Return the id of the first batch."""
    return Batch.objects.earliest("id").public_id
