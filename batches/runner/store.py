"""The database work of a slice: claim chunks, store outcomes, check whether to continue.

Nothing here is async; it all runs in the one thread that has the connection.
"""

import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from django.db import Error
from django.db.models import Case, Exists, F, IntegerField, OuterRef, QuerySet, When

from batches.conf import conf
from batches.database import is_absent, transaction
from batches.engine.errors import AccessRefused, FailureKind, ProviderError, TargetAway
from batches.engine.execute import Stop
from batches.engine.plain_text import storable_text
from batches.leases.batches import pause_once
from batches.leases.chunks import (
    Lease,
    SlotLease,
    claim_chunks,
    claim_slot,
    hold_slot,
    mark_suspect,
    note_waiting,
    release,
    release_slot,
)
from batches.leases.pilot_sample import pilot_sample
from batches.leases.waiting import WaitingNow
from batches.lifecycle import BatchStatus, PauseKind
from batches.limits.budget import Spent
from batches.limits.rules import RunFigures
from batches.models import Batch, Chunk, Prompt, Provider
from batches.models.statements import Statement, hole, query_of
from batches.output.pages import TextBytes
from batches.providers import breaker
from batches.reuse.equal_requests import EqualPrompt, give_answers, since, with_equals
from batches.reuse.kept_answers import keep_answers
from batches.runner.holdings import HeldChunk, StoredPrompt
from batches.runner.pieces import Pieces, store_in_pieces
from batches.runner.results import (
    ZERO,
    Activity,
    ChunkOutcomes,
    Clock,
    WriteBack,
    store_outcomes,
)
from batches.runner.slice_records import BatchState, Progress, SliceState, Stored
from batches.runner.surroundings import Surroundings, look_around, other_work_waits
from batches.workers.heartbeats import process_name
from batches.writeback.host_work import or_unwritten

if TYPE_CHECKING:
    from batches.writeback.writing import AnswerWriter

logger = logging.getLogger(__name__)

# The most bytes of prompts that are read in the query that claims their chunks.
SMALL_BYTES = 1024 * 1024
SECONDS_BETWEEN_ANNOUNCEMENTS = 5.0
MOST_MODELS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class OpenedChunks:
    """Adjacent chunks that were claimed, and the number of their prompts that got the answer to an
    equal request."""

    chunks: list[HeldChunk]
    reused: int = 0


class SliceStore:
    """The database work of a slice, as one of the runners of its batch.

    A probing slice runs a batch although its provider is paused. `writer` writes the answers into
    rows, if the batch is about rows.
    """

    def __init__(
        self,
        batch: Batch,
        slot: SlotLease,
        *,
        on_progress: Callable[[Progress], None],
        slice_s: float | None,
        probing: bool = False,
        writer: "AnswerWriter | None" = None,
    ) -> None:
        self._batch = batch
        self._slot = slot
        self._on_progress = on_progress
        self._slice_s = slice_s
        self._probing = probing
        self._writer = writer
        self._write_back = writer.write if writer else None
        self._progress = Progress()
        self._mine = Spent()
        self._waiting: WaitingNow | None = None
        self._announced: Mapping[str, Any] = {}
        self._announced_at = float("-inf")
        self._defaults_bytes = len(json.dumps(batch.defaults))
        # A guess until the first `look_around` reads the database's clock.
        self._clock = Clock(time.time() - time.monotonic())
        self._began_at = time.monotonic()

    @property
    def progress(self) -> Progress:
        return self._progress

    @property
    def figures(self) -> RunFigures:
        """Return the outcomes that this slice has stored, as rules judge them."""
        progress = self._progress
        done = progress.succeeded + progress.failed
        return RunFigures(done, progress.failed, progress.spent.cost)

    def claim(self, *, most: int, quarantined: bool) -> list[HeldChunk]:
        """Lease up to `most` chunks, the next ones, and find their prompts without a result."""
        return or_unwritten(partial(self._claim, most=most, quarantined=quarantined))

    def _claim(self, unwritten: str, *, most: int, quarantined: bool) -> list[HeldChunk]:
        # One transaction, so that a chunk that cannot be read is not leased.
        with transaction.atomic():
            leases = claim_chunks(
                self._batch.pk,
                most=most,
                seconds=conf().LEASE_SECONDS,
                quarantined=quarantined,
                probing=self._probing,
            )
            # A probe or a quarantine decides which prompts to read.
            most_bytes = 0 if quarantined or self._probing else SMALL_BYTES
            opened = [self._open_chunks(run, most_bytes, unwritten) for run in _adjacent(leases)]
        reused = sum(run.reused for run in opened)
        self._progress = replace(
            self._progress,
            succeeded=self._progress.succeeded + reused,
            reused=self._progress.reused + reused,
        )
        return [chunk for run in opened for chunk in run.chunks]

    def _open_chunks(
        self, leases: Sequence[Lease], most_bytes: int, unwritten: str
    ) -> OpenedChunks:
        """Return adjacent chunks with their prompts that are to be sent; if all prompts of a chunk
        are small, they are read now."""
        lo, hi = leases[0].lo, leases[-1].hi
        small = most_bytes // (hi - lo) - self._defaults_bytes
        place: dict[str, Any] = {"batch": self._batch.pk, "lo": lo, "hi": hi, "small": small}
        if self._batch.reuse == "off":
            return OpenedChunks(list(self._chunks_of(leases, _OPEN_PROMPTS.rows(**place))))
        rows = _open_equals(self._batch.reuse).rows(**place, since=since())
        equals = [EqualPrompt(pk, index, *about) for pk, index, _, _, _, *about in rows]
        given = give_answers(self._batch.pk, equals)
        if self._writer is not None:
            self._writer.write(list(given), unwritten=unwritten)
        sent = [
            row[:5]
            for row, prompt in zip(rows, equals, strict=True)
            if prompt.prompt_id not in given and (prompt.is_sent or self._is_of_pilot(prompt.index))
        ]
        return OpenedChunks(list(self._chunks_of(leases, sent)), reused=len(given))

    def _is_of_pilot(self, index: int) -> bool:
        """Return True for a prompt of a pilot: it waits for no equal one behind the gate."""
        pilot = pilot_sample(self._batch)
        return pilot is not None and pilot.has(index)

    def _chunks_of(
        self, leases: Sequence[Lease], open_rows: Iterable[tuple[Any, ...]]
    ) -> Iterator[HeldChunk]:
        rows = deque(open_rows)
        for lease in leases:
            mine = []
            while rows and rows[0][1] < lease.hi:
                mine.append(rows.popleft())
            chunk = HeldChunk(
                lease,
                prompt_ids={index: pk for pk, index, *_ in mine},
                # A request consists of the defaults and the prompt.
                unread={index: size + self._defaults_bytes for _, index, size, *_ in mine},
                open={index for _, index, *_ in mine},
            )
            if all(body is not None for *_, body in mine):
                prompts = (StoredPrompt(index, name, body) for _, index, _, name, body in mine)
                chunk.read(list(chunk.unread), prompts)
            yield chunk

    def read(self, chunk: HeldChunk, indexes: Sequence[int]) -> list[StoredPrompt]:
        """Read some prompts of a chunk, in the order of these indexes."""
        ids = [chunk.prompt_ids[index] for index in indexes]
        rows = Prompt.objects.filter(pk__gte=min(ids), pk__lte=max(ids), pk__in=ids)
        found = {
            index: StoredPrompt(index, name, body)
            for index, name, body in rows.values_list("index", "custom_id", "body")
        }
        return [found[index] for index in indexes if index in found]

    def mark(self, lease: Lease, index: int) -> bool:
        """Record the prompt that is about to be sent alone; return False if the lease is lost."""
        return mark_suspect(lease, index)

    def look_around(self) -> Surroundings:
        """Return the other runners, the limits and the budget."""
        slot, mine = self._slot.slot_id, self._mine
        around = look_around(self._batch, slot, mine=mine, clock=self._clock)
        self._clock = around.clock
        return around

    def look(self, state: SliceState) -> BatchState:
        """Check whether the batch may still run, and look around."""
        stop = self._stop()
        makes_room = self._must_make_room(state)
        around = self.look_around()
        self._show(state)
        return BatchState(around, stop, makes_room)

    def _stop(self) -> Stop | None:
        runnable = Batch.objects.runnable(probing=self._probing)
        if runnable.filter(pk=self._batch.pk).exists():
            return None
        goes_on = Batch.objects.in_time().filter(pk=self._batch.pk).exists()
        return Stop.LEAVE if goes_on else Stop.SETTLE

    def _must_make_room(self, state: SliceState) -> bool:
        """Return True if our time is over and other work waits."""
        is_over = self._slice_s is not None and time.monotonic() > self._began_at + self._slice_s
        return is_over and not state.is_undecided and other_work_waits(self._batch)

    def store(
        self,
        chunks: Sequence[ChunkOutcomes],
        activity: Activity,
        state: SliceState,
        *,
        renewing: bool,
        again: bool = False,
    ) -> Stored:
        """Store outcomes and renew the leases of their chunks; also renew our slot if it is due."""
        is_runner = not renewing or hold_slot(self._slot, seconds=conf().LEASE_SECONDS)
        lost = self._store(chunks, activity, again=again) if chunks else []
        self._count([chunk for chunk in chunks if chunk.lease not in lost], state)
        return Stored(frozenset(lost), is_runner)

    def store_in_pieces(
        self,
        chunks: Sequence[ChunkOutcomes],
        activity: Activity,
        state: SliceState,
        *,
        reduce: bool,
    ) -> Pieces:
        """Store outcomes that were refused together, each as far as the database accepts it."""
        store = partial(self._store, activity=activity, again=True)
        writer = self._writer
        unwritten = partial(self._store_unwritten, writer, activity) if writer else None
        pieces = store_in_pieces(chunks, store, reduce=reduce, unwritten=unwritten)
        self._count(pieces.stored, state)
        return pieces

    def _store_unwritten(
        self,
        writer: "AnswerWriter",
        activity: Activity,
        reason: str,
        chunks: Sequence[ChunkOutcomes],
    ) -> list[Lease]:
        """Store outcomes without a change to a row of the project, with the reason for it."""
        write_back = partial(writer.write, unwritten=reason)
        return self._store(chunks, activity, again=True, write_back=write_back)

    def _store(
        self,
        chunks: Sequence[ChunkOutcomes],
        activity: Activity,
        *,
        again: bool,
        write_back: WriteBack | None = None,
    ) -> list[Lease]:
        with transaction.atomic():
            lost = store_outcomes(
                self._batch.pk,
                chunks,
                activity=activity,
                clock=self._clock,
                lease_seconds=conf().LEASE_SECONDS,
                again=again,
                equals_wait=self._batch.reuse != "off",
                write_back=write_back or self._write_back,
            )
            if self._batch.reuse != "off":
                for lease in (chunk.lease for chunk in chunks if chunk.done):
                    keep_answers(self._batch, lease.lo, lease.hi)
        return lost

    def _count(self, stored: Sequence[ChunkOutcomes], state: SliceState) -> None:
        outcomes = [outcome for chunk in stored for outcome in chunk.outcomes]
        succeeded = sum(outcome.succeeded for outcome in outcomes)
        self._mine = sum(map(_spent, stored), self._mine)
        self._progress = Progress(
            succeeded=self._progress.succeeded + succeeded,
            reused=self._progress.reused,
            failed=self._progress.failed + len(outcomes) - succeeded,
            failures=Counter(self._progress.failures)
            + Counter(str(outcome.kind) for outcome in outcomes if outcome.kind),
            calls=self._progress.calls + sum(outcome.calls for outcome in outcomes),
            spent=self._mine,
            in_flight=state.in_flight,
            notes=state.notes,
            waiting=state.waiting,
        )
        self._on_progress(self._progress)

    def _show(self, state: SliceState) -> None:
        """Store what the slice waits for and which limits the provider advertises. An error here is
        only logged, since results are more important."""
        try:
            with transaction.atomic():
                self._note(state.waiting)
                if time.monotonic() - self._announced_at > SECONDS_BETWEEN_ANNOUNCEMENTS:
                    self.save_announced(state.announced)
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

    def pause(self, kind: PauseKind, reason: str) -> None:
        """Pause the batch, unless it is paused or has no unfinished chunk."""
        unfinished = Chunk.objects.unfinished().filter(batch=OuterRef("pk"))
        running = Batch.objects.filter(Exists(unfinished), status=BatchStatus.IN_PROGRESS)
        pause_once(running, self._batch.pk, kind, reason)

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

    def save_announced(self, announced: Mapping[str, Any]) -> None:
        """Store the advertised limits on the provider's row, if they have changed."""
        if announced == self._announced:
            return
        self._announced_at = time.monotonic()
        self._announced = announced
        provider = Provider.objects.get(pk=self._batch.provider_id)
        seen = {
            storable_text(model): {**limits, "seen_at": time.time()}
            for model, limits in announced.items()
        }
        known = provider.announced_limits or {}
        newest = dict(list({**known, **seen}.items())[-MOST_MODELS_SHOWN:])
        Provider.objects.filter(pk=provider.pk).update(announced_limits=newest)


def _open_prompts() -> "QuerySet[Prompt]":
    """Select prompts without a result, with the body of each small one."""
    small = Case(When(size__lte=hole("small", IntegerField()), then=F("body")), default=None)
    return (
        Prompt.objects.filter(batch_id=hole("batch"), result=None)
        .filter(index__gte=hole("lo"), index__lt=hole("hi"))
        .annotate(size=TextBytes("body"), small=small)
        .order_by("index")
    )


_OPEN_COLUMNS = ("pk", "index", "size", "custom_id", "small")
_OPEN_PROMPTS = Statement(lambda: query_of(_open_prompts().values_list(*_OPEN_COLUMNS)))


@cache
def _open_equals(reuse: str) -> Statement:
    """Return the same query with what is known of equal requests."""
    columns = (*_OPEN_COLUMNS, "first", "first_status", "source")
    return Statement(lambda: query_of(with_equals(_open_prompts(), reuse).values_list(*columns)))


def _adjacent(leases: Iterable[Lease]) -> list[list[Lease]]:
    """Group leases, in order, whose chunks follow each other."""
    runs: list[list[Lease]] = []
    for lease in leases:
        if runs and runs[-1][-1].hi == lease.lo:
            runs[-1].append(lease)
        else:
            runs.append([lease])
    return runs


def _spent(chunk: ChunkOutcomes) -> Spent:
    tokens = sum(o.usage.input_tokens + o.usage.output_tokens for o in chunk.outcomes)
    return Spent(tokens, sum((chunk.costs.get(o.index, ZERO) for o in chunk.outcomes), ZERO))


def take_slot(batch_id: int) -> SlotLease | None:
    """Claim a slot of a batch under the name of this process."""
    return claim_slot(batch_id, seconds=conf().LEASE_SECONDS, runner=process_name())


def leave_slot(slot: SlotLease) -> None:
    release_slot(slot)
