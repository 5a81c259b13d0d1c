"""Statuses and their transitions, as docs/states.md draws them; batch statuses are OpenAI's."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Literal, TypeVar, get_args

S = TypeVar("S", bound=StrEnum)

# The events that webhook endpoints receive: the ends of a batch.
EventType = Literal["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)


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
    # Behind the gate of the pilot: no runner can claim it.
    WAITING = "waiting"
    READY = "ready"
    LEASED = "leased"
    DONE = "done"


class UploadStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class DeliveryStatus(StrEnum):
    """The status of the delivery of an event to a webhook endpoint."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


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
    PILOT = "pilot"
    RULE = "rule"


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
    # The gate of the pilot opens, or the batch ends at it.
    ChunkState.WAITING: frozenset({ChunkState.READY, ChunkState.DONE}),
    # A batch that ends early closes the chunks that no runner has leased.
    ChunkState.READY: frozenset({ChunkState.LEASED, ChunkState.DONE}),
    # From leased to leased when the lease has run out and another runner claims the chunk.
    ChunkState.LEASED: frozenset({ChunkState.LEASED, ChunkState.READY, ChunkState.DONE}),
    # Back to waiting when a batch is retried that ended before its gate was opened.
    ChunkState.DONE: frozenset({ChunkState.READY, ChunkState.WAITING}),
}

UPLOAD_TRANSITIONS: dict[UploadStatus, frozenset[UploadStatus]] = {
    UploadStatus.PENDING: frozenset(
        {UploadStatus.COMPLETED, UploadStatus.CANCELLED, UploadStatus.EXPIRED}
    ),
    UploadStatus.COMPLETED: frozenset(),
    UploadStatus.CANCELLED: frozenset(),
    UploadStatus.EXPIRED: frozenset(),
}

DELIVERY_TRANSITIONS: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    # From pending to pending by an attempt that failed and will be repeated.
    DeliveryStatus.PENDING: frozenset(DeliveryStatus),
    DeliveryStatus.DELIVERED: frozenset(),
    DeliveryStatus.FAILED: frozenset(),
}


def sources_of(transitions: Mapping[S, Collection[S]], target: S) -> list[S]:
    """Return the statuses from which a status can be reached."""
    return [source for source, targets in transitions.items() if target in targets]


# In these statuses a batch no longer changes by itself.
TERMINAL = frozenset(
    {BatchStatus.COMPLETED, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
)
RETRYABLE = TERMINAL - {BatchStatus.FAILED}
CANCELLABLE = frozenset(sources_of(TRANSITIONS, BatchStatus.CANCELLING))


def check_transition(source: BatchStatus, target: BatchStatus) -> None:
    """Raise ValueError for a transition that is not in TRANSITIONS."""
    if target not in TRANSITIONS[source]:
        raise ValueError(f"a batch cannot go from {source} to {target}")
