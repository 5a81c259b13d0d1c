"""The database work of a slice: claim chunks, store outcomes, check whether to continue.

Nothing here is async; it all runs in the one thread that has the connection.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from batches.engine.errors import AccessRefused, FailureKind, ProviderError, TargetAway
from batches.engine.execute import Stop
from batches.engine.outages import SharedOutages
from batches.engine.plain_text import storable_text
from batches.engine.records import Outcome
from batches.intake.reading import to_read
from batches.leases.chunks import (
    Lease,
    SlotLease,
    claim_chunk,
    claim_slot,
    hold_slot,
    mark_suspect,
    note_waiting,
    release,
    release_slot,
)
from batches.leases.waiting import WaitingNow
from batches.lifecycle import BatchStatus, PauseKind
from batches.limits.budget import Spent
from batches.limits.governor import rank_of
from batches.models import Batch, Chunk, Prompt, Provider, Slot, WebhookDelivery
from batches.models.bounds import short_text
from batches.output.pages import TextBytes
from batches.providers import breaker
from batches.providers.outages import outages_of
from batches.runner.board import shared_outages
from batches.runner.database import is_absent
from batches.runner.holdings import HeldChunk, StoredPrompt
from batches.runner.pieces import Pieces, store_in_pieces
from batches.runner.results import ZERO, Activity, ChunkOutcomes, Clock, store_outcomes
from batches.workers.heartbeats import process_name

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_ANNOUNCEMENTS = 5.0
MOST_MODELS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Progress:
    """The work of a slice so far: counts, failed prompts by kind, tokens and cost. `notes` are the
    rate limit in force and what is retried, in words."""

    succeeded: int = 0
    failed: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    calls: int = 0
    spent: Spent = field(default_factory=Spent)
    in_flight: int = 0
    notes: tuple[str, ...] = ()
    waiting: WaitingNow | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Facts about the other runners: their number at this provider, the rank of this runner among
    them, and the number of their processes; the provider's limits; the budget that the batch has
    spent, and the part that this slice has spent."""

    runners: int
    rank: int
    batch_runners: int
    processes: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_in_flight: int | None
    spent: Spent
    mine: Spent
    outages: SharedOutages


class SliceStore:
    """The database work of a slice, as one of the runners of its batch.

    `must_stop`: nothing more may be sent; its value decides about calls in flight. `made_room`:
    work is left for a later slice; this is not done while `is_undecided`. A probing slice runs a
    batch although its provider is paused.
    """

    def __init__(
        self,
        batch: Batch,
        slot: SlotLease,
        *,
        on_progress: Callable[[Progress], None],
        slice_s: float | None,
        probing: bool = False,
    ) -> None:
        self.progress = Progress()
        self.surroundings: Surroundings | None = None
        self.announced: dict[str, Any] = {}
        self.notes: tuple[str, ...] = ()
        self._probing = probing
        self._mine = Spent()
        self._announced: dict[str, Any] = {}
        self._announced_at = float("-inf")
        self.must_stop: Stop | None = None
        self.made_room = False
        self.is_undecided = False
        self._batch = batch
        self._slot = slot
        self._on_progress = on_progress
        self._slice_s = slice_s
        self._defaults_bytes = len(json.dumps(batch.defaults))
        self._waiting: WaitingNow | None = None
        # A guess until the first `look_around` reads the database's clock.
        self._clock = Clock(time.time() - time.monotonic())
        self._began_at = self._looked_at = time.monotonic()

    def claim(self, *, quarantined: bool) -> HeldChunk | None:
        """Lease the next chunk, and find its prompts without a result."""
        if self.made_room:
            return None
        # One transaction, so that a chunk that cannot be read is not leased.
        with transaction.atomic():
            lease = claim_chunk(
                self._batch.pk,
                seconds=settings.LEASE_SECONDS,
                quarantined=quarantined,
                probing=self._probing,
            )
            rows = self._open_prompts(lease) if lease else []
        if lease is None:
            return None
        return HeldChunk(
            lease,
            prompt_ids={index: pk for pk, index, _ in rows},
            # A request consists of the defaults and the prompt.
            unread={index: size + self._defaults_bytes for _, index, size in rows},
            open={index for _, index, _ in rows},
        )

    def _open_prompts(self, lease: Lease) -> list[tuple[int, int, int]]:
        prompts = Prompt.objects.filter(batch_id=self._batch.pk, result=None)
        mine = prompts.filter(index__gte=lease.lo, index__lt=lease.hi).order_by("index")
        return list(mine.values_list("pk", "index", TextBytes("body")))

    def read(self, chunk: HeldChunk, indexes: Sequence[int]) -> list[StoredPrompt]:
        """Read some prompts of a chunk, in the order of these indexes."""
        ids = [chunk.prompt_ids[index] for index in indexes]
        rows = Prompt.objects.filter(pk__gte=min(ids), pk__lte=max(ids), pk__in=ids)
        found = {
            index: StoredPrompt(index, name, body)
            for index, name, body in rows.values_list("index", "custom_id", "body")
        }
        return [found[index] for index in indexes if index in found]

    @property
    def is_ending(self) -> bool:
        """Return True if no more work may be started."""
        return self.must_stop is not None or self.made_room

    def stop(self, how: Stop) -> None:
        """Send nothing more; the stronger of two stop requests counts."""
        self.must_stop = max(how, self.must_stop or how)

    def mark(self, lease: Lease, index: int) -> bool:
        """Record the prompt that is about to be sent alone; return False if the lease is lost."""
        return mark_suspect(lease, index)

    def store(
        self,
        chunks: Sequence[ChunkOutcomes],
        activity: Activity,
        *,
        in_flight: int,
        renewing: bool,
        waiting: WaitingNow | None = None,
        again: bool = False,
    ) -> list[Lease]:
        """Store outcomes, renew leases, read the surroundings; return the lost leases."""
        self._look(renewing=renewing, waiting=waiting)
        if not chunks:
            self._report([], in_flight)
            return []
        lost = self._store(chunks, activity, again=again)
        self._count([chunk for chunk in chunks if chunk.lease not in lost], in_flight)
        return lost

    def store_in_pieces(
        self, chunks: Sequence[ChunkOutcomes], activity: Activity, *, in_flight: int, reduce: bool
    ) -> Pieces:
        """Store outcomes that were refused together, each as far as the database accepts it."""
        store = partial(self._store, activity=activity, again=True)
        pieces = store_in_pieces(chunks, store, reduce=reduce)
        self._count(pieces.stored, in_flight)
        return pieces

    def _store(
        self, chunks: Sequence[ChunkOutcomes], activity: Activity, *, again: bool
    ) -> list[Lease]:
        return store_outcomes(
            self._batch.pk,
            chunks,
            activity=activity,
            clock=self._clock,
            lease_seconds=settings.LEASE_SECONDS,
            again=again,
        )

    def _count(self, stored: Sequence[ChunkOutcomes], in_flight: int) -> None:
        for chunk in stored:
            self._mine += _spent(chunk)
        self._report([outcome for chunk in stored for outcome in chunk.outcomes], in_flight)

    def _show(self, waiting: WaitingNow | None) -> None:
        """Store what the slice waits for and which limits the provider advertises. An error here is
        only logged, since results are more important."""
        try:
            with transaction.atomic():
                self._note(waiting)
                if time.monotonic() - self._announced_at > SECONDS_BETWEEN_ANNOUNCEMENTS:
                    self.save_announced()
        except Error as error:
            if is_absent(error):
                raise
            logger.warning("%s: could not store its waiting reason: %s", self._batch, error)

    def _note(self, waiting: WaitingNow | None) -> None:
        """Store the waiting reason on our slot, if it has changed."""
        if waiting != self._waiting:
            self._waiting = waiting
            if waiting is not None:
                waiting = replace(waiting, reason=storable_text(waiting.reason))
            note_waiting(self._slot, asdict(waiting) if waiting else None)

    def release(self, leases: Iterable[Lease]) -> None:
        """Release unfinished chunks."""
        release(leases)

    @property
    def clock(self) -> Clock:
        """Return the clock that converts times of this run to Unix times."""
        return self._clock

    def _look(self, *, renewing: bool, waiting: WaitingNow | None) -> None:
        """Renew our slot; from time to time check whether the batch may still run."""
        if renewing and not hold_slot(self._slot, seconds=settings.LEASE_SECONDS):
            self.stop(Stop.LEAVE)
        if time.monotonic() - self._looked_at > SECONDS_BETWEEN_LOOKS:
            self._looked_at = time.monotonic()
            runnable = Batch.objects.runnable(probing=self._probing)
            if not runnable.filter(pk=self._batch.pk).exists():
                goes_on = Batch.objects.in_time().filter(pk=self._batch.pk).exists()
                self.stop(Stop.LEAVE if goes_on else Stop.SETTLE)
            self.made_room = self.made_room or self._should_make_room()
            self.look_around()
            self._show(waiting)

    def look_around(self) -> Surroundings:
        """Return the other runners, the limits and the budget."""
        # If the batch was deleted, use its last known state.
        these = Batch.objects.select_related("provider").annotate(now=Now())
        found = these.filter(pk=self._batch.pk).first()
        if found is not None:
            self._clock = Clock(vars(found)["now"].timestamp() - time.monotonic())
        batch = found or self._batch
        taken = Slot.objects.taken().filter(batch__provider=batch.provider_id)
        rows = taken.order_by("pk")
        at_work = list(rows.values_list("pk", "batch_id", "runner", "batch__priority"))
        priorities = {pk: priority for pk, _, _, priority in at_work}
        turn = int(time.time() // settings.SLICE_SECONDS)
        read_at = time.monotonic()
        outages = shared_outages(outages_of(batch.provider_id), read_at=read_at)
        self.surroundings = Surroundings(
            runners=len(at_work),
            rank=rank_of(self._slot.slot_id, priorities, turn),
            batch_runners=sum(batch_id == batch.pk for _, batch_id, _, _ in at_work),
            processes=len({runner for _, _, runner, _ in at_work}),
            requests_per_minute=batch.provider.requests_per_minute,
            tokens_per_minute=batch.provider.tokens_per_minute,
            max_in_flight=batch.provider.max_in_flight,
            spent=Spent(batch.input_tokens + batch.output_tokens, batch.cost),
            mine=self._mine,
            outages=outages,
        )
        return self.surroundings

    def pause(self, kind: PauseKind, reason: str) -> None:
        """Pause the batch, unless it is paused or has no unfinished chunk."""
        unfinished = Chunk.objects.unfinished().filter(batch=OuterRef("pk"))
        this = Batch.objects.filter(pk=self._batch.pk, status=BatchStatus.IN_PROGRESS)
        this.filter(Exists(unfinished), pause_reason="").update(
            pause_kind=kind, pause_reason=short_text(Batch, "pause_reason", reason)
        )

    def pause_refused(self, reason: str) -> None:
        """Pause the batch because the database refuses its results: further replies would be paid
        for and lost. If the pause cannot be stored on the batch, pause the provider."""
        reason = f"{FailureKind.UNSTORABLE}: the results cannot be stored: {reason}"
        logger.error("%s is paused: %s", self._batch, reason)
        try:
            with transaction.atomic():
                self.pause(PauseKind.UNSTORABLE, reason)
        except Error as error:
            if is_absent(error):
                raise
            reason = f"{self._batch}: {reason}"
            breaker.pause(self._batch.provider_id, PauseKind.UNSTORABLE, reason)

    def pause_for(self, error: ProviderError) -> None:
        """Pause the provider or only the batch, depending on the error."""
        kind = breaker.pause_kind_of(error)
        reason = f"{error.kind}: {error.message}"
        if breaker.is_fault_of_provider(error):
            # A 403 or an unavailable model may still turn out to be the fault of this batch.
            suspect = self._batch.pk if isinstance(error, AccessRefused | TargetAway) else None
            breaker.trip(self._batch.provider_id, kind, reason, suspect=suspect)
        else:
            self.pause(kind, reason)
        logger.warning("%s is paused: %s", self._batch, reason)

    def save_announced(self) -> None:
        """Store the advertised limits on the provider's row."""
        if self.announced == self._announced:
            return
        self._announced_at = time.monotonic()
        self._announced = self.announced
        provider = Provider.objects.get(pk=self._batch.provider_id)
        seen = {
            storable_text(model): {**limits, "seen_at": time.time()}
            for model, limits in self.announced.items()
        }
        known = provider.announced_limits or {}
        newest = dict(list({**known, **seen}.items())[-MOST_MODELS_SHOWN:])
        Provider.objects.filter(pk=provider.pk).update(announced_limits=newest)

    def _should_make_room(self) -> bool:
        """Return True if our time is over and other work waits: a batch without a runner, an
        unread input, or an undelivered event."""
        is_over = self._slice_s is not None and time.monotonic() > self._began_at + self._slice_s
        if not is_over or self.is_undecided:
            return False
        taken = Slot.objects.taken().filter(batch=OuterRef("pk"))
        others = Batch.objects.waiting().filter(priority__gte=self._batch.priority)
        idle = others.filter(~Exists(taken)).exclude(pk=self._batch.pk)
        return idle.exists() or to_read().exists() or WebhookDelivery.objects.waiting().exists()

    def _report(self, stored: Sequence[Outcome], in_flight: int) -> None:
        succeeded = sum(outcome.succeeded for outcome in stored)
        self.progress = Progress(
            succeeded=self.progress.succeeded + succeeded,
            failed=self.progress.failed + len(stored) - succeeded,
            failures=Counter(self.progress.failures)
            + Counter(str(outcome.kind) for outcome in stored if outcome.kind),
            calls=self.progress.calls + sum(outcome.calls for outcome in stored),
            spent=self._mine,
            in_flight=in_flight,
            notes=self.notes,
            waiting=self._waiting,
        )
        self._on_progress(self.progress)


def _spent(chunk: ChunkOutcomes) -> Spent:
    tokens = sum(o.usage.input_tokens + o.usage.output_tokens for o in chunk.outcomes)
    return Spent(tokens, sum((chunk.costs.get(o.index, ZERO) for o in chunk.outcomes), ZERO))


def take_slot(batch_id: int) -> SlotLease | None:
    """Claim a slot of a batch under the name of this process."""
    return claim_slot(batch_id, seconds=settings.LEASE_SECONDS, runner=process_name())


def leave_slot(slot: SlotLease) -> None:
    release_slot(slot)
