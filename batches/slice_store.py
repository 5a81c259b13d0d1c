"""The database's side of a slice: claim chunks, store outcomes, see whether to go on.

Nothing here is async, and all of it runs in the one thread that has the connection.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import close_old_connections, connection
from django.db.models import Exists, OuterRef

from batches.engine.records import Outcome, PromptSpec
from batches.leases import (
    Lease,
    SlotLease,
    claim_chunk,
    claim_slot,
    hold_slot,
    mark_suspect,
    release,
    release_slot,
)
from batches.models import Batch, Prompt, Slot
from batches.results import Activity, ChunkOutcomes, Clock, store_outcomes

SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """What a slice has done so far."""

    succeeded: int = 0
    failed: int = 0
    calls: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class HeldChunk:
    """A leased chunk, with what is still to come of it."""

    lease: Lease
    prompts: list[PromptSpec]
    prompt_ids: dict[int, int]
    remaining: int


class SliceStore:
    """What a slice does in the database, as one of the runners of its batch.

    `must_stop` says that nothing more may be sent, `made_room` that work is left for another turn.
    """

    def __init__(
        self,
        batch: Batch,
        slot: SlotLease,
        *,
        on_progress: Callable[[Progress], None],
        slice_s: float | None,
    ) -> None:
        self.progress = Progress()
        self.must_stop = False
        self.made_room = False
        self._batch = batch
        self._slot = slot
        self._on_progress = on_progress
        self._slice_s = slice_s
        self._clock = Clock(time.time() - time.monotonic())
        self._began_at = self._looked_at = time.monotonic()

    def claim(self, *, quarantined: bool) -> HeldChunk | None:
        """Lease the next chunk and read those of its prompts that have no result."""
        if self._should_make_room():
            self.made_room = True
            return None
        lease = claim_chunk(self._batch.pk, seconds=settings.LEASE_SECONDS, quarantined=quarantined)
        if lease is None:
            return None
        rows = list(
            Prompt.objects.filter(
                batch_id=self._batch.pk, index__gte=lease.lo, index__lt=lease.hi, result=None
            )
            .order_by("index")
            .values_list("pk", "index", "custom_id", "body")
        )
        return HeldChunk(
            lease,
            prompts=[PromptSpec(index, name, json.loads(body)) for _, index, name, body in rows],
            prompt_ids={index: pk for pk, index, _, _ in rows},
            remaining=len(rows),
        )

    def mark(self, lease: Lease, index: int) -> bool:
        """Note which prompt is about to be sent by itself; False if the lease is lost."""
        return mark_suspect(lease, index)

    def store(
        self,
        chunks: Sequence[ChunkOutcomes],
        activity: Activity,
        *,
        in_flight: int,
        renewing: bool,
        again: bool = False,
    ) -> list[Lease]:
        """Store outcomes, renew leases, look around; return the leases that are lost."""
        self._look(renewing=renewing)
        if not chunks:
            return []
        lost = store_outcomes(
            self._batch.pk,
            chunks,
            activity=activity,
            clock=self._clock,
            lease_seconds=settings.LEASE_SECONDS,
            again=again,
        )
        stored = [o for chunk in chunks if chunk.lease not in lost for o in chunk.outcomes]
        self._report(stored, in_flight)
        return lost

    def release(self, leases: Iterable[Lease]) -> None:
        """Give chunks back that were not finished."""
        release(leases)

    def unix(self, monotonic: float) -> float:
        return self._clock.unix(monotonic)

    def _look(self, *, renewing: bool) -> None:
        """See now and then whether the batch may still run, and keep our slot."""
        if renewing and not hold_slot(self._slot, seconds=settings.LEASE_SECONDS):
            self.must_stop = True
        if time.monotonic() - self._looked_at > SECONDS_BETWEEN_LOOKS:
            self._looked_at = time.monotonic()
            if not Batch.objects.runnable().filter(pk=self._batch.pk).exists():
                self.must_stop = True

    def _should_make_room(self) -> bool:
        """Whether our time is over and a batch waits that nobody works on."""
        if self._slice_s is None or time.monotonic() - self._began_at < self._slice_s:
            return False
        taken = Slot.objects.taken().filter(batch=OuterRef("pk"))
        others = Batch.objects.waiting().filter(priority__gte=self._batch.priority)
        return others.filter(~Exists(taken)).exclude(pk=self._batch.pk).exists()

    def _report(self, stored: Sequence[Outcome], in_flight: int) -> None:
        succeeded = sum(outcome.succeeded for outcome in stored)
        self.progress = Progress(
            succeeded=self.progress.succeeded + succeeded,
            failed=self.progress.failed + len(stored) - succeeded,
            calls=self.progress.calls + sum(outcome.calls for outcome in stored),
            in_flight=in_flight,
        )
        self._on_progress(self.progress)


def take_slot(batch_id: int) -> SlotLease | None:
    """Become one of the runners of a batch, under the name of this process."""
    runner = f"{socket.gethostname()}:{os.getpid()}"[:200]
    return claim_slot(batch_id, seconds=settings.LEASE_SECONDS, runner=runner)


def leave_slot(slot: SlotLease) -> None:
    release_slot(slot)


def reconnect() -> None:
    """Have the next query use a new connection, unless a transaction of the caller is open."""
    if not connection.in_atomic_block:
        connection.close()
    close_old_connections()
