"""Resume a batch that stands still."""

from batches.actions.batches import resume_batch
from batches.models import Batch
from batches.runner.run import run_slice
from tests.checker import check_batch


def resume_to_the_end(batch: Batch) -> None:
    """Resume a paused batch, and run it until every prompt has its result."""
    batch.refresh_from_db()
    resume_batch(batch)
    assert run_slice(batch.pk).ended
    check_batch(batch)
