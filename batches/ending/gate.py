"""The gate of a batch with a pilot: when the pilot is done, the batch pauses, or goes on."""

from batches.lifecycle import PauseKind
from batches.models import Batch, BatchQuerySet
from batches.models.bounds import short_text


def unattended() -> BatchQuerySet:
    """Select the batches whose pilot is done and not judged yet."""
    return Batch.objects.in_time().at_gate().filter(pause_reason="")


def attend_gate(batch_id: int) -> bool:
    """Judge the pilot of a batch, if it is done; return True if the other prompts may run now.

    Any number of callers is safe: whoever ends a slice calls it, and the sweeper.
    """
    this = unattended().filter(pk=batch_id)
    batch = this.first()
    if batch is not None:
        reason = short_text(Batch, "pause_reason", _figures(batch))
        this.update(pause_kind=PauseKind.PILOT, pause_reason=reason)
    return False


def _figures(batch: Batch) -> str:
    return (
        f"{PauseKind.PILOT}: pilot of {batch.pilot_rows:,} prompts done: {batch.failed:,} failed; "
        "resume to go on"
    )
