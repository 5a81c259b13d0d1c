"""The statuses of a batch (OpenAI's) and their transitions; see the diagram in docs/states.md."""

from enum import StrEnum


class BatchStatus(StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class ChunkState(StrEnum):
    READY = "ready"
    LEASED = "leased"
    DONE = "done"


class PauseKind(StrEnum):
    """The kind of a pause of a batch or a provider; `pause_reason` is the text for people."""

    AUTH = "auth"
    QUOTA = "quota"
    CONFIG = "config"
    REQUEST = "request"
    AWAY = "away"
    BUDGET = "budget"
    UNSTORABLE = "unstorable"
    STAFF = "staff"


TRANSITIONS: dict[BatchStatus, frozenset[BatchStatus]] = {
    BatchStatus.VALIDATING: frozenset(
        {BatchStatus.IN_PROGRESS, BatchStatus.FAILED, BatchStatus.CANCELLING}
    ),
    BatchStatus.IN_PROGRESS: frozenset(
        {BatchStatus.FINALIZING, BatchStatus.EXPIRED, BatchStatus.CANCELLING}
    ),
    BatchStatus.FINALIZING: frozenset({BatchStatus.COMPLETED}),
    BatchStatus.CANCELLING: frozenset({BatchStatus.CANCELLED}),
    # A retry starts the batch again.
    BatchStatus.COMPLETED: frozenset({BatchStatus.IN_PROGRESS}),
    BatchStatus.EXPIRED: frozenset({BatchStatus.IN_PROGRESS}),
    BatchStatus.CANCELLED: frozenset({BatchStatus.IN_PROGRESS}),
    BatchStatus.FAILED: frozenset(),
}

CHUNK_TRANSITIONS: dict[ChunkState, frozenset[ChunkState]] = {
    # A batch that ends early closes the chunks that no runner has leased.
    ChunkState.READY: frozenset({ChunkState.LEASED, ChunkState.DONE}),
    # From leased to leased when the lease has run out and another runner claims the chunk.
    ChunkState.LEASED: frozenset({ChunkState.LEASED, ChunkState.READY, ChunkState.DONE}),
    ChunkState.DONE: frozenset({ChunkState.READY}),
}

# In these statuses a batch no longer changes by itself.
TERMINAL = frozenset(
    {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
)
RETRYABLE = TERMINAL - {BatchStatus.FAILED}


def check_transition(source: BatchStatus, target: BatchStatus) -> None:
    """Raise ValueError for a transition that is not in TRANSITIONS."""
    if target not in TRANSITIONS[source]:
        raise ValueError(f"a batch cannot go from {source} to {target}")
