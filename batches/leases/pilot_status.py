"""The status of a pilot, from the chunks of its batch."""

from enum import StrEnum

from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Q, QuerySet

from batches.lifecycle import TERMINAL, BatchStatus
from batches.models import Batch, Chunk


class PilotStatus(StrEnum):
    """The pilot is running; or it is done and the gate is closed; or the gate is open."""

    RUNNING = "running"
    DONE = "done"
    PASSED = "passed"


def with_gate(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Annotate each batch with the values that `pilot_status` needs."""
    chunks = Chunk.objects.filter(batch=OuterRef("pk"))
    found = {"is_gated": chunks.behind_gate(), "has_open_pilot": chunks.before_gate()}
    has_pilot = Q(pilot_rows__isnull=False)
    return batches.annotate(
        **{
            name: ExpressionWrapper(has_pilot & Q(Exists(some)), output_field=BooleanField())
            for name, some in found.items()
        }
    )


def pilot_status(batch: Batch) -> PilotStatus | None:
    """Return the status of the pilot of a batch from `with_gate`; None without a pilot."""
    if batch.pilot_rows is None:
        return None
    row = vars(batch)
    if "is_gated" not in row or batch.status == BatchStatus.VALIDATING:
        return PilotStatus.RUNNING
    if row["is_gated"]:
        return PilotStatus.RUNNING if row["has_open_pilot"] else PilotStatus.DONE
    has_ended = batch.status in {*TERMINAL, BatchStatus.CANCELLING}
    only_pilot = batch.succeeded + batch.failed <= batch.pilot_rows < batch.total
    return PilotStatus.DONE if has_ended and only_pilot else PilotStatus.PASSED
