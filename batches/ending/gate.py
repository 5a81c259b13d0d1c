"""The gate of a batch with a pilot: when the pilot is done, the batch pauses, or goes on."""

import logging

from batches.database import transaction
from batches.ending.pilot import pilot_report
from batches.leases.batches import pause_once
from batches.leases.chunks import open_gate
from batches.lifecycle import PauseKind
from batches.limits.rules import Rules, rules_of
from batches.models import Batch, BatchQuerySet

logger = logging.getLogger(__name__)


def unattended() -> BatchQuerySet:
    """Select the batches whose pilot is done and not judged yet."""
    return Batch.objects.in_time().at_gate().filter(pause_reason="")


def attend_gate(batch_id: int) -> bool:
    """Judge the pilot of a batch, if it is done; return True if the other prompts may run now.

    Any number of callers is safe: each runner that ends its slice calls it, and the sweeper.
    """
    this = unattended().filter(pk=batch_id)
    batch = this.select_related("provider").first()
    if batch is None:
        return False
    reason = _reason_to_pause(batch)
    logger.info("%s: %s", batch, reason or "the rules of its pilot hold")
    if reason:
        pause_once(this, batch_id, PauseKind.PILOT, reason)
        return False
    with transaction.atomic():
        # The update locks the batch, so that a retry of the pilot comes before or after.
        return bool(this.update(pause_reason="")) and open_gate(batch_id)


def _reason_to_pause(batch: Batch) -> str:
    """Return the figures of a pilot and what its rules say to them; "" if all rules hold."""
    rules, report = rules_of(batch.continue_when), pilot_report(batch)
    if rules == Rules():
        return ""
    if report is None:
        return "pilot done, but none of its prompts has run; resume to go on"
    broken = rules.broken_by(report.figures, least=1) if rules else ""
    if rules and not broken:
        return ""
    return "; ".join(filter(None, (str(report), broken, "resume to go on")))
