"""One slice of work on one batch: lease chunks, feed the engine, store the outcomes.

    claim_chunk -> prepare -> Execution -> postprocess -> store_outcomes
    (database)     (phase 1)  (phase 2)    (phase 3)      (database)

It runs in an event loop; what it does in the database is done in the thread that has the
connection.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from django.conf import settings

from batches.engine.errors import ProviderError
from batches.engine.execute import Execution, ExecutionOptions, Stop, gather_all
from batches.engine.liveness import Patience
from batches.engine.postprocess import postprocess_exchange
from batches.engine.records import (
    Exchange,
    LadderOptions,
    Outcome,
    PreparedRequest,
    Reply,
    Schedule,
)
from batches.engine.retry import RetryPolicy
from batches.engine.structured.ladder import judge_reply
from batches.leases.waiting import WaitingNow
from batches.models import Batch
from batches.providers import breaker
from batches.providers.client import ProviderClient
from batches.providers.configured import provider_client
from batches.runner.board import ProviderBoard
from batches.runner.database import PatientDatabase, in_database
from batches.runner.fair_share import FairShare
from batches.runner.holdings import HeldChunk, Holdings
from batches.runner.memory import Memory
from batches.runner.preparing import Preparation
from batches.runner.quarantine import take_blamed
from batches.runner.results import Activity, ChunkOutcomes
from batches.runner.store import SliceStore
from batches.runner.sure_store import SureStore
from batches.runner.waiting import notes_of, waiting_of
from batches.stop_signal import StopSignal

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
FLUSH_ROWS = 200
# Characters of unstored replies that trigger an immediate flush.
FLUSH_CHARS = 4 * 1024 * 1024
# Unstored outcomes, in windows, beyond which nothing is sent.
UNSTORED_WINDOWS = 2
RENEWALS_PER_LEASE = 4
# A runner that has not renewed for this share of the lease sends nothing until a renewal succeeds.
TRUSTED_SHARE_OF_LEASE = 0.7


class BatchSlice:
    """One run over the chunks that can be claimed. Its outcome is in `paused`, `over_budget` and
    `probed_well`."""

    def __init__(
        self,
        batch: Batch,
        store: SliceStore,
        stop: StopSignal,
        *,
        grace_s: float | None,
        probing: bool,
    ) -> None:
        self.paused: ProviderError | None = None
        self._paused_for: ProviderError | None = None
        self.over_budget = ""
        self.probed_well = False
        self._probing = probing
        self._batch = batch
        self._store = store
        self._stop = stop
        self._grace_s = grace_s
        self._ladder = LadderOptions(
            batch.extract_json, batch.repair_json, batch.max_repair_attempts
        )
        self._preparation = Preparation(batch)
        self._held = Holdings(batch.batch_size)
        self._exchanges: list[Exchange] = []
        # Outcomes of prompts that were not sent, with the tickets of their chunks.
        self._unsent: list[tuple[int, Outcome]] = []
        self._unstored = 0
        self._window = batch.batch_size
        self._unstored_chars = 0
        self._waiting_for_room = 0
        self._counted_until: float | None = None
        self._executed = False
        self._database = PatientDatabase()
        self._sure = SureStore(batch, store, self._database)
        self._renewed_at = time.monotonic()
        self._execution: Execution | None = None
        self._executing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run until no chunk can be claimed or the slice must stop; then release the chunks."""
        self._loop = asyncio.get_running_loop()
        self._flush_now = asyncio.Event()
        self._room = asyncio.Condition()
        self._memory = Memory(
            self._for_room,
            most=settings.MAX_BYTES_IN_FLIGHT,
            is_stored=lambda: not self._unstored,
        )
        connections = self._batch.batch_size
        await self._take_share()
        async with (
            provider_client(self._batch.provider, connections=connections) as client,
            self._share.governor,
        ):
            with self._stop.heard_by(lambda: self._loop.call_soon_threadsafe(self._end)):
                try:
                    await gather_all(self._execute(client), self._keep_storing())
                finally:
                    try:
                        await self._leave()
                    finally:
                        self._memory.release_all()

    async def _leave(self) -> None:
        """Release all chunks. First store the received outcomes, even after an error."""
        if self._executing is not None and not self._executing.done():
            self._executing.cancel()
            await asyncio.wait({self._executing})
        try:
            if self._exchanges or self._unsent:
                self._database.give_up()
                await self._flush()
        except Exception:
            logger.exception("%s: the last outcomes could not be stored", self._batch)
        await in_database(self._store.release, self._held.leases)

    async def _take_share(self) -> None:
        await self._database.call(self._store.look_around)
        self._share = FairShare(self._batch)
        self._board = ProviderBoard(
            self._batch.provider_id, self._database, timeout_s=self._batch.timeout_s
        )
        await in_database(self._share.read_prices)
        self._heed_surroundings()

    def _heed_surroundings(self) -> None:
        """Update this runner's share, and pause the batch when its budget is spent."""
        around, self._store.surroundings = self._store.surroundings, None
        if around is None:
            return
        self._outages = around.outages
        if self._execution is not None and not self._probing:
            self._execution.heed(around.outages)
        spent = self._share.look(around)
        if spent and not self._store.must_stop:
            self._store.stop(Stop.LEAVE)
            self.over_budget = spent

    # -- what is sent

    async def _execute(self, client: ProviderClient) -> None:
        """Send all requests; quarantined chunks come last, each by itself."""
        self._executing = asyncio.create_task(self._execute_all(client))
        # Use wait(), not await: storing must continue even if the calls are cancelled.
        await asyncio.wait({self._executing})
        if not self._executing.cancelled():
            self._executing.result()
        self._executed = True
        self._flush_now.set()

    async def _execute_all(self, client: ProviderClient) -> None:
        if self._probing:
            await self._run_execution(client, self._probe(), window=1)
            return
        await self._run_execution(client, self._chunks(), window=self._batch.batch_size)
        while not self._store.must_stop and not self._store.made_room:
            chunk = await self._claim(quarantined=True)
            if chunk is None:
                return
            await self._run_execution(client, self._quarantine(chunk), window=1)

    async def _run_execution(
        self,
        client: ProviderClient,
        chunks: AsyncIterator[Sequence[PreparedRequest]],
        *,
        window: int,
    ) -> None:
        self._window = window
        options = ExecutionOptions(
            batch_size=window,
            schedule=cast("Schedule", self._batch.schedule),
            timeout_s=self._batch.timeout_s,
            retry=RetryPolicy(
                max_attempts=self._batch.max_attempts,
                patience=Patience(total_s=settings.PROVIDER_PATIENCE),
            ),
            answered_before=self._batch.succeeded > 0,
            trusting=self._batch.trusts_refusals,
            tentative=self._probing,
        )
        judge = partial(judge_reply, options=self._ladder)
        self._execution = Execution(
            partial(self._send, client),
            self._deliver,
            options,
            admit=self._admit,
            judge=judge,
            governor=self._share.governor,
            board=self._board,
        )
        if not self._probing:
            self._execution.heed(self._outages)
        if self._store.must_stop:
            return
        await self._execution.run(chunks)
        await self._heed_pause()

    async def _heed_pause(self) -> None:
        """Pause the provider or the batch at once, without waiting for the last call."""
        error = self._execution.pause if self._execution else None
        if error is None or self._paused_for is not None:
            return
        self._paused_for = error
        self._store.stop(Stop.LEAVE)
        if self._probing and breaker.shows_it_open(error):
            self.probed_well = True
        elif breaker.is_fault_of_provider(error) or not self._probing:
            self.paused = error
            await self._database.call(self._store.pause_for, error)

    def _end(self) -> None:
        """Start no further call; abandon calls in flight when the grace period is over."""
        self._store.stop(Stop.FINISH)
        if self._execution is not None:
            self._execution.stop()
        if self._grace_s is not None:
            self._loop.call_later(self._grace_s, self._give_up)

    def _give_up(self) -> None:
        self._database.give_up()
        if self._executing is not None:
            self._executing.cancel()

    async def _claim(self, *, quarantined: bool) -> HeldChunk | None:
        """Lease the next chunk. Renew held leases first, so that we do not claim our own chunk."""
        await self._until_trusted()
        if self._store.must_stop:
            return None
        chunk = await self._database.call(self._store.claim, quarantined=quarantined)
        if chunk is not None:
            self._held.add(chunk)
        return chunk

    async def _chunks(self) -> AsyncIterator[Sequence[PreparedRequest]]:
        """Phase 1: yield the requests of claimed chunks, each prepared in the order of prompts."""
        while not self._store.must_stop:
            chunk = await self._claim(quarantined=False)
            if chunk is None:
                return
            async for requests in self._requests_of(chunk):
                yield requests

    async def _requests_of(self, chunk: HeldChunk) -> AsyncIterator[Sequence[PreparedRequest]]:
        """Yield the requests of a chunk. With the rolling schedule, some are sent while others
        are still being prepared; with lockstep, prompts that are read together are sent
        together."""
        requests: list[PreparedRequest] = []
        while self._held.holds(chunk) and await self._read(chunk):
            requests += await self._prepare(chunk, most=self._batch.batch_size)
            if self._batch.schedule == "rolling" or not chunk.prompts:
                yield requests
                requests = []
        if requests:
            yield requests

    async def _read(self, chunk: HeldChunk) -> bool:
        """Read prompts of a chunk when there is room; return True if there are any to prepare."""
        if not chunk.prompts and chunk.unread:
            await self._read_piece(chunk, chunk.next_piece())
        return bool(chunk.prompts) and not self._store.is_ending

    async def _read_piece(self, chunk: HeldChunk, indexes: Sequence[int]) -> None:
        size = sum(chunk.unread[index] for index in indexes)
        if not self._may_read(size):
            with self._short_of_room():
                await self._until(partial(self._may_read, size))
        if self._store.is_ending:
            return
        chunk.prompts += await self._database.call(self._store.read, chunk, indexes)
        for index in indexes:
            del chunk.unread[index]

    def _may_read(self, size: int) -> bool:
        # When idle, always read: a held-back refusal waits for a later call to decide it.
        return self._store.made_room or self._memory.has_room_for(size) or self._is_idle()

    async def _prepare(self, chunk: HeldChunk, *, most: int) -> list[PreparedRequest]:
        items = await self._preparation.piece(chunk, most=most)
        ticket = chunk.lease.token
        self._unsent += [(ticket, item) for item in items if isinstance(item, Outcome)]
        requests = [item for item in items if isinstance(item, PreparedRequest)]
        for request in requests:
            self._memory.hold(request)
        return requests

    async def _probe(self) -> AsyncIterator[Sequence[PreparedRequest]]:
        """Yield one random request, since the first prompt may be the cause of the failures."""
        for quarantined in (False, True):
            while chunk := await self._claim(quarantined=quarantined):
                chunk.shuffle()
                requests_of = self._quarantine if quarantined else self._requests_of
                async for requests in requests_of(chunk):
                    if requests:
                        yield requests[:1]
                        return

    async def _quarantine(self, chunk: HeldChunk) -> AsyncIterator[Sequence[PreparedRequest]]:
        """Yield the requests of a quarantined chunk one by one, without prompts that are to blame.

        Each prompt is recorded before it is prepared, after the previous outcome is stored.
        """
        self._unsent += [(chunk.lease.token, outcome) for outcome in take_blamed(chunk)]
        while self._held.holds(chunk) and await self._read(chunk):
            self._flush_now.set()
            await self._until(self._is_idle)
            await self._until_trusted()
            index = chunk.prompts[0].index
            if self._store.is_ending or not await self._database.call(
                self._store.mark, chunk.lease, index
            ):
                return
            yield await self._prepare(chunk, most=1)

    def _is_idle(self) -> bool:
        done = self._execution is None or self._execution.is_idle
        return done and not self._unstored and not self._unsent

    async def _admit(self, request: PreparedRequest) -> bool:
        """Return True if a request may be sent: the lease of its chunk is certainly valid."""
        await self._until_trusted()
        if self._held.chunk_of(request) is not None and not self._store.must_stop:
            return True
        self._memory.release(request)
        return False

    async def _for_room(self, condition: Callable[[], bool]) -> None:
        """Wait until a flush has made room. Also used in a stop: a started reply is read fully."""
        with self._short_of_room():
            async with self._room:
                await self._room.wait_for(condition)

    @contextmanager
    def _short_of_room(self) -> Iterator[None]:
        """Store every outcome at once while a prompt or reply waits for room."""
        self._waiting_for_room += 1
        if self._exchanges or self._unsent:
            self._flush_now.set()
        try:
            yield
        finally:
            self._waiting_for_room -= 1

    async def _until_trusted(self) -> None:
        """Wait while our leases may have expired."""
        if not self._is_trusted():
            await self._until(self._is_trusted)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that a flush may make true, or until the slice must stop."""
        async with self._room:
            await self._room.wait_for(lambda: condition() or self._store.must_stop)

    def _is_trusted(self) -> bool:
        trusted_s = TRUSTED_SHARE_OF_LEASE * settings.LEASE_SECONDS
        return time.monotonic() - self._renewed_at < trusted_s

    # -- what comes back

    async def _send(self, client: ProviderClient, request: PreparedRequest) -> Reply:
        """Make one call, and read its reply as memory becomes available."""
        with self._memory.reading() as reading:
            reply = await client.send(request, take=reading.take)
            self._memory.keep(request, reply)
            return reply

    async def _deliver(self, exchange: Exchange) -> None:
        """Accept an exchange. Wait while too many are unstored; then nothing is sent either."""
        self._exchanges.append(exchange)
        self._unstored += 1
        if exchange.reply is not None:
            self._unstored_chars += len(exchange.reply.body)
        # A provider that refuses a prompt for its content accepts the key and the account.
        taken = exchange.error is None or breaker.shows_it_open(exchange.error)
        self.probed_well = self._probing and taken
        is_much = self._unstored_chars >= FLUSH_CHARS
        is_wanted = self._waiting_for_room > 0 or not self._has_room()
        if is_much or is_wanted or len(self._exchanges) >= min(FLUSH_ROWS, self._window):
            self._flush_now.set()
        async with self._room:
            await self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        # Including the window in flight, a crash can lose three windows of calls.
        has_room = self._unstored < UNSTORED_WINDOWS * self._batch.batch_size
        return has_room and not (self._unstored and self._memory.is_full)

    async def _keep_storing(self) -> None:
        """Store outcomes every half second or sooner, until all calls are made and stored."""
        while not (self._executed and not self._exchanges and not self._unsent):
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._flush_now.wait()
            except TimeoutError:
                pass
            self._flush_now.clear()
            await self._flush()

    async def _flush(self) -> None:
        exchanges, self._exchanges = self._exchanges, []
        outcomes, self._unsent = self._unsent, []
        self._unstored_chars = 0
        # Phase 3, in the order of the prompts.
        exchanges.sort(key=lambda exchange: exchange.request.index)
        outcomes += [(e.request.ticket, postprocess_exchange(e, self._ladder)) for e in exchanges]
        # Count from the time the renewal is sent, not from its confirmation.
        now = time.monotonic()
        renewing = now - self._renewed_at > settings.LEASE_SECONDS / RENEWALS_PER_LEASE
        costs = await in_database(self._share.costs, exchanges)
        chunks = self._held.close(outcomes, costs, renewing=renewing)
        if self._execution is not None:
            held = self._share.governor.held()
            self._store.notes = notes_of(self._execution, held, self._store.clock)
        await self._store_surely(chunks, self._activity(exchanges), renewing=renewing)
        self._unstored -= len(exchanges)
        for exchange in exchanges:
            self._memory.release(exchange.request)
        if renewing:
            self._renewed_at = now
        self._store.announced = self._share.governor.announced()
        self._heed_surroundings()
        await self._heed_pause()
        self._end_in_time()
        async with self._room:
            self._room.notify_all()

    def _end_in_time(self) -> None:
        """Stop sending if the slice must stop or make room for other batches."""
        if self._execution is None:
            return
        if self._store.must_stop:
            self._execution.stop(self._store.must_stop)
        elif self._store.made_room:
            self._execution.make_room()

    async def _store_surely(
        self, chunks: Sequence[ChunkOutcomes], activity: Activity, *, renewing: bool
    ) -> None:
        self._store.is_undecided = self._execution is not None and self._execution.is_undecided
        pieces = await self._sure.store(
            chunks,
            activity,
            in_flight=self._execution.in_flight if self._execution else 0,
            renewing=renewing,
            waiting=self._waiting_for(),
        )
        refused = {chunk.lease for chunk in pieces.refused}
        self._held.let_go([chunk for chunk in chunks if chunk.lease not in refused], pieces.lost)

    def _waiting_for(self) -> WaitingNow | None:
        if self._execution is None:
            return None
        held = self._share.governor.held()
        return waiting_of(self._execution, held, self._store.clock, now=time.monotonic())

    def _activity(self, exchanges: Sequence[Exchange]) -> Activity:
        if not exchanges:
            return Activity(0.0, 0.0, None)
        done = [exchange.done_at for exchange in exchanges]
        if self._counted_until is None:
            self._counted_until = min(exchange.sent_at for exchange in exchanges)
        since, self._counted_until = self._counted_until, max(self._counted_until, *done)
        unix = self._store.clock.unix
        return Activity(unix(since), unix(self._counted_until), unix(min(done)))
