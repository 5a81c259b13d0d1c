"""Find the prompts of a quarantined chunk that are to blame for vanished workers."""

from batches.engine.errors import FailureKind
from batches.engine.records import Outcome
from batches.runner.holdings import HeldChunk, never_sent

# A prompt is to blame after this many runners vanished while they prepared or sent only it.
CRASHES_TO_BLAME = 3
# After this many runners vanished before any prompt of the chunk was prepared alone, all its
# prompts fail: no single prompt can be blamed, and the chunk would be claimed for ever.
CRASHES_TO_GIVE_UP = 10


def take_blamed(chunk: HeldChunk) -> list[Outcome]:
    """Remove the prompts that may not be retried from a chunk; return their outcomes."""
    lease = chunk.lease
    blamed: list[int] = []
    reason = ""
    # Crashes over prompts that were blamed earlier also count for the chunk.
    crashes = lease.crashes if lease.suspect is None else lease.suspect_crashes
    if lease.suspect not in chunk.unread and crashes >= CRASHES_TO_GIVE_UP:
        blamed = list(chunk.unread)
        reason = f"{crashes} workers vanished over its chunk before a call was made"
    elif lease.suspect in chunk.unread and lease.suspect_crashes >= CRASHES_TO_BLAME:
        blamed = [lease.suspect]
        reason = (
            f"{lease.suspect_crashes} workers vanished while this prompt alone was prepared or sent"
        )
    chunk.leave_out(blamed)
    remedy = "see the log of the workers, then retry the batch"
    return [
        never_sent(index, FailureKind.WORKER_CRASHED, f"{reason}; {remedy}") for index in blamed
    ]
