"""Which prompts of a chunk in quarantine are to blame for the workers that vanished over it."""

from batches.engine.errors import FailureKind
from batches.engine.records import Outcome
from batches.runner.holdings import HeldChunk, never_sent

# A prompt is to blame if at least this many runners vanished while it alone was prepared or sent.
CRASHES_TO_BLAME = 3
# Runners that vanished over a chunk before any of its prompts was prepared alone. No prompt can be
# found that is to blame, so all of them are: else the chunk is claimed for ever.
CRASHES_TO_GIVE_UP = 10


def take_blamed(chunk: HeldChunk) -> list[Outcome]:
    """Take from a chunk the prompts that may not be tried again; return their outcomes."""
    lease = chunk.lease
    blamed: list[int] = []
    reason = ""
    # Of prompts that were blamed before, the crashes are those of the chunk too.
    crashes = lease.crashes if lease.suspect is None else lease.suspect_crashes
    if lease.suspect not in chunk.unread and crashes >= CRASHES_TO_GIVE_UP:
        blamed = list(chunk.unread)
        reason = f"{crashes} workers vanished over its chunk before a call was made"
    elif lease.suspect in chunk.unread and lease.suspect_crashes >= CRASHES_TO_BLAME:
        blamed = [lease.suspect]
        reason = (
            f"{lease.suspect_crashes} workers vanished while this prompt alone was prepared or sent"
        )
    for index in blamed:
        del chunk.unread[index]
    remedy = "see the log of the workers, then retry the batch"
    return [
        never_sent(index, FailureKind.WORKER_CRASHED, f"{reason}; {remedy}") for index in blamed
    ]
