"""Record what batches did in each hour: copy the counts of the batches that were active lately.

Runners do not write these rows, so that storing results costs no more. A sweep that is late counts
in the hour of the last activity of a batch; one that comes twice writes the same rows again.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from batches.models import Batch, BatchHour

KEPT_FOR = timedelta(days=8)
# Transactions are not committed in the order of their times.
OVERLAP_S = 120.0
ROWS_AT_ONCE = 500
COUNTS = ("succeeded", "failed", "cost")
COLUMNS = (*COUNTS, *(f"before_{name}" for name in COUNTS))


def record_hours() -> int:
    """Update the rows of the batches that were active since the last sweep; return their number."""
    batches = _active()
    last = BatchHour.objects.in_bulk(filter(None, batches.values()))
    rows = [_row_of(batch, last.get(pk or 0)) for batch, pk in batches.items()]
    BatchHour.objects.bulk_create(
        rows,
        batch_size=ROWS_AT_ONCE,
        update_conflicts=True,
        unique_fields=["batch", "hour"],
        update_fields=["until", *COLUMNS],
    )
    BatchHour.objects.filter(hour__lt=timezone.now() - KEPT_FOR).delete()
    return len(rows)


def _active() -> dict[Batch, int | None]:
    """Return the batches whose counts may have changed, each with the ID of its latest row."""
    newest = BatchHour.objects.order_by("-hour", "-until").values_list("until", flat=True).first()
    # A runner whose clock is ahead must not hide what the others do.
    recorded = min(newest or 0.0, time.time())
    since = max(recorded - OVERLAP_S, time.time() - KEPT_FOR.total_seconds())
    latest = BatchHour.objects.filter(batch=OuterRef("pk")).order_by("-hour").values("pk")[:1]
    active = Batch.objects.filter(active_until__gt=since, deleted_at=None)
    found = active.annotate(latest=Subquery(latest)).only("active_until", *COUNTS)
    return {batch: vars(batch)["latest"] for batch in found}


def _row_of(batch: Batch, last: BatchHour | None) -> BatchHour:
    """Return the row of the hour in which a batch was last active."""
    hour = datetime.fromtimestamp(batch.active_until // 3600 * 3600, UTC)
    counts = {name: getattr(batch, name) for name in COUNTS}
    return BatchHour(
        batch=batch,
        hour=hour,
        until=batch.active_until,
        **counts,
        **{f"before_{name}": value for name, value in _before(counts, last, hour).items()},
    )


def _before(counts: dict[str, Any], last: BatchHour | None, hour: datetime) -> dict[str, Any]:
    """Return the counts at the beginning of the hour."""
    if last is None:
        return dict.fromkeys(counts, 0)
    prefix = "before_" if last.hour == hour else ""
    # A retry takes failures back: then what fails from now on counts.
    return {name: min(getattr(last, f"{prefix}{name}"), counts[name]) for name in counts}
