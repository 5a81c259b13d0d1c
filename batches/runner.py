"""One slice of work on one batch: lease chunks, feed the engine, store the outcomes.

    claim_chunk -> prepare -> Execution -> postprocess -> store_outcomes
    (database)     (phase 1)  (phase 2)    (phase 3)      (database)

This is the only place where sync and async meet. The event loop has a thread of its own; all
database work is done in the thread that called `run_slice`, over its one connection.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import ParamSpec, TypeVar, cast

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError

from batches import breaker
from batches.budget import ZERO, Budget
from batches.engine.errors import FailureKind, ProviderError, RequestRefused
from batches.engine.execute import Admit, Execution, ExecutionOptions, gather_all
from batches.engine.ladder import judge_reply
from batches.engine.postprocess import postprocess_exchange
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import (
    Endpoint,
    Exchange,
    LadderOptions,
    Outcome,
    PreparedRequest,
    PromptSpec,
    Schedule,
    Usage,
)
from batches.engine.retry import RetryPolicy
from batches.finishing import finish_batch
from batches.governor import Governor, share_of
from batches.leases import Lease
from batches.models import Batch, Provider
from batches.prices import prices_of
from batches.provider_client import ProviderClient
from batches.providers import provider_client
from batches.rate_limits import limits_at, per_minute
from batches.results import Activity, ChunkOutcomes
from batches.slice_store import HeldChunk, Progress, SliceStore, leave_slot, reconnect, take_slot
from batches.stop_signal import StopSignal
from batches.summary import summarise

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FLUSH_SECONDS = 0.5
FLUSH_ROWS = 200
# Outcomes that may wait to be stored, in windows; beyond that nothing is sent.
UNSTORED_WINDOWS = 2
RENEWALS_PER_LEASE = 4
# A runner that could not renew for this share of the lease sends nothing until it can.
TRUSTED_SHARE_OF_LEASE = 0.7
LONGEST_DATABASE_WAIT_S = 5.0
# A prompt over which so many runners vanished while it was sent alone is to blame.
CRASHES_TO_BLAME = 3
# How the reason of a pause begins that a larger budget ends.
BUDGET_SPENT = "budget: "


@dataclass(frozen=True, slots=True)
class SliceReport:
    """How a slice ended.

    `paused` is the provider's error that paused the batch or the provider, if one did, and
    `pause_reason` tells why the batch stands still, whatever paused it. `ended` says that it has
    ended, `made_room` that the slice left work for another turn because others wait, `reopened`
    that a probe went well.
    """

    progress: Progress = field(default_factory=Progress)
    paused: ProviderError | None = None
    pause_reason: str = ""
    reopened: bool = False
    ended: bool = False
    made_room: bool = False


@dataclass(frozen=True, slots=True)
class SliceLimits:
    """How long a slice may go on, in seconds; None is without end.

    After `slice_s` it makes room if another batch waits. After a stop request, calls in flight
    have `grace_s` to end; then they are given up, and made again by whoever comes next.
    """

    slice_s: float | None = None
    grace_s: float | None = None


def run_slice(
    batch_id: int,
    *,
    stop: StopSignal | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    limits: SliceLimits | None = None,
    probing: bool = False,
) -> SliceReport:
    """Work on a batch until nothing is left to claim, it must not run, or `stop` is requested.

    Every outcome is stored by then, and every lease given back. Any number of slices may be begun
    on one batch; as many work as its parallelism, the others end at once. `on_progress` is called
    in the caller's thread. A slice that probes makes one call to a paused provider, and opens it
    if that goes well. Raises ProviderMisconfigured if the provider cannot be called.
    """
    batch = Batch.objects.select_related("provider").get(pk=batch_id)
    limits = limits or SliceLimits()
    slot = take_slot(batch_id)
    if slot is None:
        return SliceReport(ended=finish_batch(batch_id))
    on_progress = on_progress or (lambda _: None)
    store = SliceStore(
        batch, slot, on_progress=on_progress, slice_s=limits.slice_s, probing=probing
    )
    work = _Slice(batch, store, stop or StopSignal(), grace_s=limits.grace_s, probing=probing)
    try:
        async_to_sync(work.run)()
    finally:
        leave_slot(slot)
    if work.paused:
        pause_for(batch, work.paused)
    if work.over_budget:
        store.pause(work.over_budget)
    reopened = work.probed_well and breaker.reset(batch.provider_id, paused_by_staff=False)
    ended = finish_batch(batch_id)
    if ended:
        log_performance(batch)
    store.save_announced()
    return SliceReport(
        progress=store.progress,
        paused=work.paused,
        pause_reason="" if ended else standstill(batch_id),
        reopened=reopened,
        ended=ended,
        made_room=store.made_room,
    )


def pause_for(batch: Batch, error: ProviderError) -> None:
    """Pause what an error tells is at fault: the provider, or the batch alone."""
    reason = f"{error.kind}: {error.message}"[:1000]
    if breaker.is_fault_of_provider(error):
        breaker.trip(batch.provider_id, reason)
    else:
        Batch.objects.filter(pk=batch.pk).update(pause_reason=reason)
    logger.warning("%s is paused: %s", batch, reason)


def standstill(batch_id: int) -> str:
    """Why nothing is sent for a batch that is in progress; "" if something could be."""
    return Batch.objects.select_related("provider").get(pk=batch_id).standstill


def log_performance(batch: Batch) -> None:
    """Log the performance metrics of a batch that has ended."""
    summary = summarise(batch)
    logger.info(
        "%s processed %d prompts: %d succeeded, %d failed; %s",
        batch,
        summary.total,
        summary.succeeded,
        summary.failed,
        summary.timing.describe(),
    )


def list_models(provider: Provider) -> list[str]:
    """The models that a provider lists. Raises ProviderMisconfigured or a ProviderError."""

    async def ask() -> list[str]:
        async with provider_client(provider, connections=1) as client:
            return await client.models()

    return async_to_sync(ask)()


class _Slice:
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
        self.over_budget = ""
        self.probed_well = False
        self._probing = probing
        self._probe_begun = False
        self._budget = Budget(batch.max_tokens_total, batch.max_cost)
        self._batch = batch
        self._store = store
        self._stop = stop
        self._grace_s = grace_s
        self._ladder = LadderOptions(
            batch.extract_json, batch.repair_json, batch.max_repair_attempts
        )
        self._held: dict[int, HeldChunk] = {}
        self._exchanges: list[Exchange] = []
        self._unsent: list[Outcome] = []
        self._unstored = 0
        self._counted_until: float | None = None
        self._executed = False
        self._given_up = False
        self._renewed_at = time.monotonic()
        self._execution: Execution | None = None
        self._executing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._flush_now = asyncio.Event()
        self._room = asyncio.Condition()
        connections = self._batch.batch_size
        self._governor = await self._make_governor()
        async with (
            provider_client(self._batch.provider, connections=connections) as client,
            self._governor,
        ):
            with self._stop.heard_by(lambda: self._loop.call_soon_threadsafe(self._end)):
                try:
                    await gather_all(self._execute(client), self._keep_storing())
                finally:
                    held = [chunk.lease for chunk in self._held.values()]
                    await in_database(self._store.release, held)

    # -- what is sent

    async def _execute(self, client: ProviderClient) -> None:
        """Send everything there is to send, quarantined chunks last and each by itself."""
        self._executing = asyncio.create_task(self._execute_all(client))
        # Waited for, not awaited: given up calls are no reason for the storing to end.
        await asyncio.wait({self._executing})
        if not self._executing.cancelled():
            self._executing.result()
        self._executed = True
        self._flush_now.set()

    async def _execute_all(self, client: ProviderClient) -> None:
        window = self._batch.batch_size
        if self._probing:
            await self._run_execution(client, self._probe(), window=1, admit=self._admit_once)
            return
        await self._run_execution(client, self._chunks(), window=window, admit=self._admit)
        while not self._store.must_stop and not self._store.made_room:
            chunk = await self._surely(self._store.claim, quarantined=True)
            if chunk is None:
                return
            alone = self._quarantine(chunk)
            await self._run_execution(client, alone, window=1, admit=self._admit_marked)

    async def _run_execution(
        self,
        client: ProviderClient,
        chunks: AsyncIterator[Sequence[PreparedRequest]],
        *,
        window: int,
        admit: Admit,
    ) -> None:
        options = ExecutionOptions(
            batch_size=window,
            schedule=cast("Schedule", self._batch.schedule),
            timeout_s=self._batch.timeout_s,
            retry=RetryPolicy(max_attempts=self._batch.max_attempts),
        )
        judge = partial(judge_reply, options=self._ladder)
        self._execution = Execution(
            client.send, self._deliver, options, admit=admit, judge=judge, governor=self._governor
        )
        if self._store.must_stop:
            return
        await self._execution.run(chunks)
        if self._execution.pause:
            self.paused = self._execution.pause
            self._store.must_stop = True

    def _end(self) -> None:
        """Begin no further call; give up those in flight when the grace period is over."""
        self._store.must_stop = True
        if self._execution is not None:
            self._execution.stop()
        if self._grace_s is not None:
            self._loop.call_later(self._grace_s, self._give_up)

    def _give_up(self) -> None:
        self._given_up = True
        if self._executing is not None:
            self._executing.cancel()

    async def _chunks(self) -> AsyncIterator[Sequence[PreparedRequest]]:
        """Phase 1: claimed chunks, each prepared in the order of its prompts."""
        while not self._store.must_stop:
            chunk = await self._surely(self._store.claim, quarantined=False)
            if chunk is None:
                return
            yield self._prepare(chunk)

    async def _probe(self) -> AsyncIterator[Sequence[PreparedRequest]]:
        """The first request that there is."""
        async for requests in self._chunks():
            yield requests[:1]
            if requests:
                return

    async def _quarantine(self, chunk: HeldChunk) -> AsyncIterator[Sequence[PreparedRequest]]:
        """The requests of a chunk whose runners keep vanishing, but for the one to blame."""
        lease = chunk.lease
        for prompt in chunk.prompts:
            if prompt.index == lease.suspect and lease.suspect_crashes >= CRASHES_TO_BLAME:
                chunk.prompts.remove(prompt)
                self._unsent.append(_worker_crashed(prompt))
                break
        yield self._prepare(chunk)

    def _prepare(self, chunk: HeldChunk) -> list[PreparedRequest]:
        self._held[chunk.lease.lo] = chunk
        endpoint = cast("Endpoint", self._batch.endpoint)
        prepared = [
            prepare_prompt_request(
                prompt,
                endpoint=endpoint,
                defaults=self._batch.defaults,
                strict_schemas=self._batch.strict_schemas,
            )
            for prompt in chunk.prompts
        ]
        chunk.prompts = []
        self._unsent += [item for item in prepared if isinstance(item, Outcome)]
        return [item for item in prepared if isinstance(item, PreparedRequest)]

    async def _admit(self, request: PreparedRequest) -> bool:
        """Whether a request may be sent: its chunk is ours, and surely so."""
        if not self._is_trusted():
            async with self._room:
                await self._room.wait_for(lambda: self._is_trusted() or self._store.must_stop)
        return self._lo(request.index) in self._held and not self._store.must_stop

    async def _admit_once(self, request: PreparedRequest) -> bool:
        """The same for a probe, which is not repeated here if it fails."""
        begun, self._probe_begun = self._probe_begun, True
        return not begun and await self._admit(request)

    async def _admit_marked(self, request: PreparedRequest) -> bool:
        """The same in quarantine: the one before is stored, and it is noted which one is sent."""
        self._flush_now.set()
        async with self._room:
            await self._room.wait_for(lambda: not self._unstored or self._store.must_stop)
        if not await self._admit(request):
            return False
        held = self._held[self._lo(request.index)]
        return await self._surely(self._store.mark, held.lease, request.index)

    def _is_trusted(self) -> bool:
        trusted_s = TRUSTED_SHARE_OF_LEASE * settings.LEASE_SECONDS
        return time.monotonic() - self._renewed_at < trusted_s

    def _lo(self, index: int) -> int:
        return index - index % self._batch.batch_size

    # -- what comes back

    async def _deliver(self, exchange: Exchange) -> None:
        """Take an exchange. Waits while too many are not stored: then nothing is sent either."""
        self._exchanges.append(exchange)
        self._unstored += 1
        # Whoever refuses a prompt for what it says takes the key and has money on the account.
        taken = exchange.error is None or isinstance(exchange.error, RequestRefused)
        self.probed_well = self._probing and taken
        if len(self._exchanges) >= min(FLUSH_ROWS, self._batch.batch_size):
            self._flush_now.set()
        async with self._room:
            await self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        # With a window in flight that is what a crash can cost: three windows of calls.
        return self._unstored < UNSTORED_WINDOWS * self._batch.batch_size

    async def _keep_storing(self) -> None:
        """Store what has come in, every half second or sooner, until all is executed and stored."""
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
        unsent, self._unsent = self._unsent, []
        # Phase 3, in the order of the prompts.
        exchanges.sort(key=lambda exchange: exchange.request.index)
        outcomes = unsent + [postprocess_exchange(one, self._ladder) for one in exchanges]
        # Counted from when the renewal is sent, not from when it is known to have worked.
        now = time.monotonic()
        renewing = now - self._renewed_at > settings.LEASE_SECONDS / RENEWALS_PER_LEASE
        costs = await in_database(self._costs, exchanges)
        chunks = self._by_chunk(outcomes, costs, renewing=renewing)
        lost = await self._store_surely(chunks, self._activity(exchanges), renewing=renewing)
        for chunk in chunks:
            if chunk.done or chunk.lease in lost:
                self._held.pop(chunk.lease.lo, None)
        self._unstored -= len(exchanges)
        if renewing:
            self._renewed_at = now
        self._store.announced = self._governor.announced()
        self._heed_surroundings()
        if self._store.must_stop and self._execution is not None:
            self._execution.stop()
        async with self._room:
            self._room.notify_all()

    def _by_chunk(
        self, outcomes: Sequence[Outcome], costs: Mapping[int, Decimal], *, renewing: bool
    ) -> list[ChunkOutcomes]:
        """What there is to say of each chunk; when leases are due for renewal, of all of them."""
        found: dict[int, list[Outcome]] = {lo: [] for lo in self._held}
        for outcome in outcomes:
            lo = self._lo(outcome.index)
            # The chunk is not held any more if its lease was lost; whoever has it now answers.
            if lo in found:
                found[lo].append(outcome)
        chunks = []
        for lo, some in found.items():
            held = self._held[lo]
            held.remaining -= len(some)
            if some or renewing or not held.remaining:
                done = not held.remaining
                chunks.append(ChunkOutcomes(held.lease, some, held.prompt_ids, done, costs))
        return chunks

    # -- limits and budget

    async def _make_governor(self) -> Governor:
        await self._surely(self._store.look_around)
        if self._batch.max_cost is not None:
            # Prices are read in once, which takes a while.
            model = str(self._batch.defaults.get("model", ""))
            await in_database(self._price, model, Usage())
        provider = self._batch.provider
        governor = Governor(
            limits_at(settings.RATE_LIMIT_REDIS_URL),
            provider=f"{provider.pk} {provider.base_url}",
            cap=self._batch.batch_size,
            budget=self._budget,
            price=self._price if self._batch.max_cost is not None else None,
        )
        self._governor = governor
        self._heed_surroundings()
        return governor

    def _heed_surroundings(self) -> None:
        """Keep to our share of limits and budget, and pause the batch when that is spent."""
        around, self._store.surroundings = self._store.surroundings, None
        if around is None:
            return
        self._governor.told = per_minute(around.requests_per_minute, around.tokens_per_minute)
        self._governor.share_with(around.processes)
        cap = share_of(self._batch.batch_size, around.max_in_flight, around.runners)
        self._governor.window.limit_to(cap)
        self._budget.look(around.spent, mine=around.mine, runners=around.batch_runners)
        if self._budget.reason and not self._store.must_stop:
            self._store.must_stop = True
            self.over_budget = f"{BUDGET_SPENT}{self._budget.reason}"

    def _price(self, model: str, usage: Usage) -> Decimal | None:
        provider = self._batch.provider
        prices = prices_of(provider.base_url, provider.prices, model)
        return prices.cost(usage) if prices else None

    def _costs(self, exchanges: Sequence[Exchange]) -> dict[int, Decimal]:
        """What each exchange has cost in dollars, by the index of its prompt."""
        costs = {}
        for exchange in exchanges:
            if exchange.reply is not None:
                usage = exchange.spent + exchange.reply.usage
                request = exchange.request
                costs[request.index] = self._price(request.model, usage) or ZERO
        return costs

    async def _store_surely(
        self, chunks: Sequence[ChunkOutcomes], activity: Activity, *, renewing: bool
    ) -> list[Lease]:
        """Store, again and again if the database fails; meanwhile nothing is sent for long."""
        in_flight = self._execution.in_flight if self._execution else 0
        store = partial(self._store.store, chunks, activity, in_flight=in_flight, renewing=renewing)
        try:
            return await in_database(store)
        except (OperationalError, InterfaceError, IntegrityError) as error:
            logger.warning("%s: could not store, trying again: %s", self._batch, error)
        await in_database(reconnect)
        return await self._surely(partial(store, again=True))

    async def _surely(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in the database, anew as often as the database fails or is away.

        Gives up, with the database's error, only when the grace period of a stop is over.
        """
        wait_s = 0.05
        while True:
            try:
                return await in_database(function, *args, **kwargs)
            except (OperationalError, InterfaceError) as error:
                if self._given_up:
                    raise
                logger.warning("The database failed, trying again in %.2f s: %s", wait_s, error)
            await in_database(reconnect)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_DATABASE_WAIT_S)

    def _activity(self, exchanges: Sequence[Exchange]) -> Activity:
        if not exchanges:
            return Activity(0.0, 0.0, None)
        done = [exchange.done_at for exchange in exchanges]
        if self._counted_until is None:
            self._counted_until = min(exchange.sent_at for exchange in exchanges)
        since, self._counted_until = self._counted_until, max(self._counted_until, *done)
        unix = self._store.unix
        return Activity(unix(since), unix(self._counted_until), unix(min(done)))


def _worker_crashed(prompt: PromptSpec) -> Outcome:
    return Outcome(
        index=prompt.index,
        custom_id=prompt.custom_id,
        status="failed",
        kind=FailureKind.WORKER_CRASHED,
        code=FailureKind.WORKER_CRASHED.value,
        message="workers vanished again and again while this prompt alone was sent",
    )


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the database, in the thread that has the connection."""
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)
