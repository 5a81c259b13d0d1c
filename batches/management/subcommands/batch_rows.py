"""A batch as a row of a table, and as an object of JSON."""

from datetime import UTC
from typing import Any, TextIO

from batches.formats import dollars
from batches.leases.state import current_state, state_of, with_state
from batches.management.bulk.next_steps import SHORT_ID_CHARS
from batches.management.subcommands.tables import write_json
from batches.management.terminal import excerpt
from batches.models import Batch

# The first of them are enough for a narrow terminal.
COLUMNS = (
    *("=ID", "NAME", "STATUS", ">DONE", ">FAILED", ">COST"),
    *("MODEL", "PROVIDER", "CREATED (UTC)", "REASON"),
)
NARROW_COLUMNS = COLUMNS[:6]
SHOWN_NAME_CHARS = 24


def row_of(batch: Batch, *, whole_id: bool) -> tuple[str, ...]:
    """Return the cells of a batch from `with_state`, for COLUMNS.

    A cost of zero is left out: looking up whether a price is known would take long.
    """
    state = state_of(batch)
    return (
        batch.public_id if whole_id else batch.public_id[:SHORT_ID_CHARS],
        excerpt(batch.name, most=SHOWN_NAME_CHARS) or "-",
        f"{state.word}: {state.cause}" if state.cause else state.word,
        f"{batch.succeeded + batch.failed:,} of {batch.total:,}",
        f"{batch.failed:,}",
        dollars(batch.cost or None),
        batch.model,
        batch.provider.name,
        f"{batch.created_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        state.reason,
    )


def object_of(batch: Batch) -> dict[str, Any]:
    """Return a batch from `with_state` as JSON has it, without a cost of zero."""
    state = state_of(batch)
    return {
        "batch_id": batch.public_id,
        "name": batch.name,
        "status": state.word,
        "reason": state.reason,
        "total": batch.total,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cost": float(batch.cost) or None,
        "model": batch.model,
        "provider": batch.provider.name,
        "created_at": batch.created_at.astimezone(UTC).isoformat(timespec="seconds"),
    }


def write_state(out: TextIO, batch: Batch, *, as_json: bool) -> None:
    """Write the state of a batch that was just changed."""
    if as_json:
        write_json(out, object_of(with_state(Batch.objects.filter(pk=batch.pk)).get()))
    else:
        out.write(f"{batch.public_id}: {excerpt(str(current_state(batch)))}\n")
