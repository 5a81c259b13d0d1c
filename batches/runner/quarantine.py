"""Which prompts of a chunk in quarantine are to blame for the workers that vanished over it."""

from collections import deque

from batches.engine.errors import FailureKind
from batches.engine.records import Outcome
from batches.leases import Lease
from batches.runner.holdings import HeldChunk, StoredPrompt

# A prompt is to blame if at least this many runners vanished while it alone was prepared or sent.
CRASHES_TO_BLAME = 3
# Runners that vanished over a chunk before any of its prompts was prepared alone. No prompt can be
# found that is to blame, so all of them are: else the chunk is claimed for ever.
CRASHES_TO_GIVE_UP = 10


def to_blame(chunk: HeldChunk) -> tuple[deque[StoredPrompt], list[Outcome]]:
    """Return the prompts of a chunk that may be tried, and the outcomes of those that may not."""
    lease = chunk.lease
    if lease.suspect is None and lease.crashes >= CRASHES_TO_GIVE_UP:
        reason = f"{lease.crashes} workers vanished over its chunk before a call was made"
        return deque(), [_crashed(prompt, reason) for prompt in chunk.prompts]
    reason = (
        f"{lease.suspect_crashes} workers vanished while this prompt alone was prepared or sent"
    )
    guilty = [prompt for prompt in chunk.prompts if _is_guilty(prompt, lease)]
    tried = deque(prompt for prompt in chunk.prompts if not _is_guilty(prompt, lease))
    return tried, [_crashed(prompt, reason) for prompt in guilty]


def _is_guilty(prompt: StoredPrompt, lease: Lease) -> bool:
    return prompt.index == lease.suspect and lease.suspect_crashes >= CRASHES_TO_BLAME


def _crashed(prompt: StoredPrompt, reason: str) -> Outcome:
    remedy = "see the log of the workers, then retry the batch"
    return prompt.failed(FailureKind.WORKER_CRASHED, f"{reason}; {remedy}")
