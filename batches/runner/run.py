"""Run a slice of a batch: the event loop and the thread of the database meet here.

The event loop of a slice has a thread of its own. Its database work is done in the thread that
called `run_slice`, over the one connection of that thread.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from asgiref.sync import async_to_sync

from batches.ending.finishing import finish_batch
from batches.ending.gate import attend_gate
from batches.engine.errors import ProviderError
from batches.errors import NotPossible
from batches.leases.batches import pause_once
from batches.lifecycle import PauseKind
from batches.models import Batch, Chunk
from batches.providers import breaker
from batches.runner.database import PatientDatabase
from batches.runner.slice_records import Progress
from batches.runner.slices.batch_slice import BatchSlice
from batches.runner.store import SliceStore, leave_slot, take_slot
from batches.stop_signal import StopSignal
from batches.writeback.writers import writer_of


@dataclass(frozen=True, slots=True)
class SliceReport:
    """The outcome of a slice.

    `worked`: there was a slot for this runner. `paused`: the provider's error that paused the batch
    or the provider, if any. `pause_reason`: why the batch stands still, whatever paused it.
    `ended`: the batch has ended. `made_room`: the slice left work for a later slice because other
    batches wait. `stopped`: it left work for another reason. `reopened`: a probe succeeded.
    `opened_gate`: the rules of the pilot hold, and the rest of the batch can be claimed.
    `has_more`: prompts can be claimed that have waited for equal ones, which failed.
    """

    progress: Progress = field(default_factory=Progress)
    worked: bool = False
    paused: ProviderError | None = None
    pause_reason: str = ""
    reopened: bool = False
    ended: bool = False
    made_room: bool = False
    stopped: bool = False
    opened_gate: bool = False
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class SliceLimits:
    """Time limits of a slice, in seconds; None means no limit.

    After `slice_s` it makes room if another batch waits. After a stop request, calls in flight
    have `grace_s` to end; then they are abandoned, and the next runner repeats them. A full disk is
    waited for `full_disk_s`; then the slice raises the error of the database.
    """

    slice_s: float | None = None
    grace_s: float | None = None
    full_disk_s: float | None = None


def run_slice(
    batch_id: int,
    *,
    stop: StopSignal | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    limits: SliceLimits | None = None,
    probing: bool = False,
) -> SliceReport:
    """Run a batch until no chunk can be claimed, it must not run, or `stop` is requested.

    On return, every outcome is stored and every lease is released. Any number of slices may be
    started on one batch: as many as its parallelism run, the others return at once. `on_progress`
    is called in the caller's thread. A probing slice makes one call to a paused provider, and opens
    the provider if the call succeeds. Raise ProviderMisconfigured if the provider cannot be called.
    """
    batch = Batch.objects.select_related("provider", "enrichment").get(pk=batch_id)
    limits = limits or SliceLimits()
    slot = take_slot(batch_id)
    if slot is None:
        return SliceReport(ended=finish_batch(batch_id))
    try:
        writer = writer_of(batch)
    except NotPossible as error:
        # Before a call is paid for: another process may have the code.
        leave_slot(slot)
        pause_once(Batch.objects.in_time(), batch_id, PauseKind.CONFIG, f"config: {error}")
        return SliceReport(pause_reason=standstill(batch_id))
    on_progress = on_progress or (lambda _: None)
    store = SliceStore(
        batch, slot, on_progress=on_progress, slice_s=limits.slice_s, probing=probing, writer=writer
    )
    work = BatchSlice(
        batch,
        store,
        stop or StopSignal(),
        database=PatientDatabase(limits.full_disk_s),
        grace_s=limits.grace_s,
        probing=probing,
    )
    try:
        end = async_to_sync(work.run)()
    finally:
        leave_slot(slot)
    if end.over_budget:
        store.pause(PauseKind.BUDGET, end.over_budget)
    opened_gate = batch.pilot_rows is not None and attend_gate(batch_id)
    reopened = end.probed_well and breaker.answered_probe(batch)
    ended = finish_batch(batch_id)
    store.save_announced(end.announced)
    return SliceReport(
        progress=store.progress,
        worked=True,
        paused=end.paused,
        pause_reason="" if ended else standstill(batch_id),
        reopened=reopened,
        ended=ended,
        made_room=end.makes_room,
        stopped=end.stopped,
        opened_gate=opened_gate,
        has_more=not ended and batch.reuse != "off" and has_claimable(batch_id),
    )


def has_claimable(batch_id: int) -> bool:
    """Return True if a runner could claim a chunk of a batch."""
    return Chunk.objects.claimable().filter(batch=batch_id).exists()


def standstill(batch_id: int) -> str:
    """Return why a batch in progress sends nothing; "" if it may send calls."""
    batch = Batch.objects.select_related("provider").filter(pk=batch_id).first()
    return batch.standstill if batch else ""
