"""One slice of work on one batch: lease chunks, feed the engine, store the outcomes.

    claim_chunk -> prepare -> Execution -> postprocess -> store_outcomes
    (database)     (phase 1)  (phase 2)    (phase 3)      (database)

This is the only place where sync and async meet. The event loop has a thread of its own; all
database work is done in the thread that called `run_slice`, over its one connection.
"""

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.db.models import Exists, OuterRef

from batches.addresses import AddressPolicy
from batches.engine.errors import ProviderError
from batches.engine.execute import Execution, ExecutionOptions, gather_all
from batches.engine.postprocess import postprocess_exchange
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import (
    Endpoint,
    Exchange,
    Outcome,
    PreparedRequest,
    PromptSpec,
    Schedule,
)
from batches.engine.retry import RetryPolicy
from batches.leases import Lease, claim_chunk, release
from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk, Prompt, Provider
from batches.provider_client import ProviderClient
from batches.results import Activity, ChunkOutcomes, Clock, store_outcomes
from batches.summary import summarise

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FLUSH_SECONDS = 0.5
FLUSH_ROWS = 200
RENEWALS_PER_LEASE = 4


class StopSignal:
    """Asks a slice to stop: no new calls, those in flight are finished. Safe from any thread."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._listeners: list[Callable[[], object]] = []

    @property
    def requested(self) -> bool:
        return self._requested.is_set()

    def request(self) -> None:
        self._requested.set()
        for listener in self._listeners:
            listener()

    def wait(self, seconds: float) -> bool:
        """Wait for a request, so long at most; whether there is one."""
        return self._requested.wait(seconds)

    def on_request(self, listener: Callable[[], object]) -> None:
        self._listeners.append(listener)
        if self.requested:
            listener()


@dataclass(frozen=True, slots=True)
class Progress:
    """What a slice has done so far."""

    succeeded: int = 0
    failed: int = 0
    calls: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class SliceReport:
    """How a slice ended; `paused` is the provider's error that paused the batch, if one did."""

    progress: Progress
    paused: ProviderError | None
    finished: bool


@dataclass(slots=True)
class _HeldChunk:
    """A leased chunk, with what is still to come of it."""

    lease: Lease
    prompt_ids: dict[int, int]
    remaining: int


def run_slice(
    batch_id: int,
    *,
    stop: StopSignal | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SliceReport:
    """Work on a batch until no chunk is left to claim, it is paused, or `stop` is requested.

    Every outcome is stored by then, and every lease given back. Any number of slices may work on
    one batch. `on_progress` is called in the caller's thread. Raises ProviderMisconfigured if the
    provider's key or address cannot be used.
    """
    batch = Batch.objects.select_related("provider").get(pk=batch_id)
    work = _Slice(batch, stop or StopSignal(), on_progress or (lambda _: None))
    async_to_sync(work.run)()
    if work.paused:
        Batch.objects.filter(pk=batch_id).update(pause_reason=_reason(work.paused))
        logger.warning("%s is paused: %s", batch, work.paused.message)
    finished = finish_batch(batch_id)
    if finished:
        log_performance(batch)
    return SliceReport(work.progress, work.paused, finished)


def log_performance(batch: Batch) -> None:
    """Log the performance metrics of a finished batch."""
    summary = summarise(batch)
    logger.info(
        "%s processed %d prompts: %d succeeded, %d failed; %s",
        batch,
        summary.total,
        summary.succeeded,
        summary.failed,
        summary.timing.describe(),
    )


def finish_batch(batch_id: int) -> bool:
    """Complete a batch of which every chunk is done; whether it is complete now."""
    this = Batch.objects.filter(pk=batch_id)
    unfinished = Chunk.objects.unfinished().filter(batch_id=OuterRef("pk"))
    this.filter(~Exists(unfinished)).move(BatchStatus.FINALIZING, sources={BatchStatus.IN_PROGRESS})
    this.move(BatchStatus.COMPLETED, sources={BatchStatus.FINALIZING})
    return this.filter(status=BatchStatus.COMPLETED).exists()


class ProviderMisconfigured(Exception):
    """A provider that cannot be called as it is configured; the message names the remedy."""


def provider_client(provider: Provider, *, connections: int) -> ProviderClient:
    """A client for a provider. Raises ProviderMisconfigured."""
    try:
        return ProviderClient(
            provider.base_url,
            api_key=api_key(provider),
            connections=connections,
            addresses=AddressPolicy(settings.PROVIDER_PRIVATE_HOSTS),
            max_reply_bytes=settings.MAX_REPLY_BYTES,
        )
    except ValueError as error:
        raise ProviderMisconfigured(f"provider {provider.name}: {error}") from error


def api_key(provider: Provider) -> str:
    """The key of a provider, "" if it needs none. Raises ProviderMisconfigured."""
    if not provider.api_key_env:
        return ""
    key = os.environ.get(provider.api_key_env, "").strip()
    if not key:
        raise ProviderMisconfigured(
            f"the environment variable {provider.api_key_env}, which should hold the API key "
            f"for {provider.base_url}, is not set"
        )
    return key


def list_models(provider: Provider) -> list[str]:
    """The models that a provider lists. Raises ProviderMisconfigured or a ProviderError."""

    async def ask() -> list[str]:
        async with provider_client(provider, connections=1) as client:
            return await client.models()

    return async_to_sync(ask)()


class _Slice:
    def __init__(
        self, batch: Batch, stop: StopSignal, on_progress: Callable[[Progress], None]
    ) -> None:
        self.progress = Progress()
        self.paused: ProviderError | None = None
        self._batch = batch
        self._stop = stop
        self._on_progress = on_progress
        self._clock = Clock(time.time() - time.monotonic())
        self._held: dict[int, _HeldChunk] = {}
        self._exchanges: list[Exchange] = []
        self._rejected: list[Outcome] = []
        self._counted_until: float | None = None
        self._executed = False
        self._renewed_at = time.monotonic()

    async def run(self) -> None:
        batch = self._batch
        options = ExecutionOptions(
            batch_size=batch.batch_size,
            schedule=cast("Schedule", batch.schedule),
            timeout_s=batch.timeout_s,
            retry=RetryPolicy(max_attempts=batch.max_attempts),
        )
        self._flush_now = asyncio.Event()
        self._room = asyncio.Condition()
        async with provider_client(batch.provider, connections=batch.batch_size) as client:
            self._execution = Execution(client.send, self._deliver, options)
            loop = asyncio.get_running_loop()
            self._stop.on_request(lambda: loop.call_soon_threadsafe(self._execution.stop))
            try:
                await gather_all(self._execute(), self._keep_storing())
            finally:
                await in_database(release, [held.lease for held in self._held.values()])
        self.paused = self._execution.pause

    async def _execute(self) -> None:
        await self._execution.run(self._chunks())
        self._executed = True
        self._flush_now.set()

    async def _chunks(self) -> AsyncIterator[Sequence[PreparedRequest]]:
        """Phase 1: claimed chunks, each prepared in the order of its prompts."""
        while not self._stop.requested:
            claimed = await in_database(self._claim)
            if claimed is None:
                return
            prepared = [
                prepare_prompt_request(
                    prompt,
                    endpoint=cast("Endpoint", self._batch.endpoint),
                    defaults=self._batch.defaults,
                )
                for prompt in claimed
            ]
            self._rejected += [item for item in prepared if isinstance(item, Outcome)]
            yield [item for item in prepared if isinstance(item, PreparedRequest)]

    def _claim(self) -> list[PromptSpec] | None:
        """Lease the next chunk and read those of its prompts that have no result."""
        lease = claim_chunk(self._batch.pk, seconds=settings.LEASE_SECONDS)
        if lease is None:
            return None
        rows = list(
            Prompt.objects.filter(
                batch_id=self._batch.pk, index__gte=lease.lo, index__lt=lease.hi, result=None
            )
            .order_by("index")
            .values_list("pk", "index", "custom_id", "body")
        )
        prompt_ids = {index: pk for pk, index, _, _ in rows}
        self._held[lease.lo] = _HeldChunk(lease, prompt_ids, remaining=len(rows))
        return [
            PromptSpec(index, custom_id, json.loads(body)) for _, index, custom_id, body in rows
        ]

    async def _deliver(self, exchange: Exchange) -> None:
        """Take an exchange. Waits while too many are not stored: then nothing is sent either."""
        self._exchanges.append(exchange)
        if len(self._exchanges) >= FLUSH_ROWS:
            self._flush_now.set()
        async with self._room:
            await self._room.wait_for(self._has_room)

    def _has_room(self) -> bool:
        return len(self._exchanges) < max(2 * self._batch.batch_size, 2 * FLUSH_ROWS)

    async def _keep_storing(self) -> None:
        """Store what has come in, every half second or sooner, until all is executed and stored."""
        while not (self._executed and not self._exchanges and not self._rejected):
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._flush_now.wait()
            except TimeoutError:
                pass
            self._flush_now.clear()
            await self._flush()

    async def _flush(self) -> None:
        exchanges, self._exchanges = self._exchanges, []
        rejected, self._rejected = self._rejected, []
        # Phase 3, in the order of the prompts.
        exchanges.sort(key=lambda exchange: exchange.request.index)
        outcomes = rejected + [postprocess_exchange(exchange) for exchange in exchanges]
        renewing = self._renewed_at + settings.LEASE_SECONDS / RENEWALS_PER_LEASE < time.monotonic()
        chunks = self._by_chunk(outcomes, renewing=renewing)
        if not chunks:
            return
        if renewing:
            self._renewed_at = time.monotonic()
        await in_database(self._store, chunks, self._activity(exchanges))
        async with self._room:
            self._room.notify_all()

    def _store(self, chunks: Sequence[ChunkOutcomes], activity: Activity) -> None:
        lost = store_outcomes(
            self._batch.pk,
            chunks,
            activity=activity,
            clock=self._clock,
            lease_seconds=settings.LEASE_SECONDS,
        )
        for chunk in chunks:
            if chunk.done or chunk.lease in lost:
                del self._held[chunk.lease.lo]
        self._report([o for chunk in chunks if chunk.lease not in lost for o in chunk.outcomes])

    def _by_chunk(self, outcomes: Sequence[Outcome], *, renewing: bool) -> list[ChunkOutcomes]:
        """What there is to say of each chunk; when leases are due for renewal, of all of them."""
        found: dict[int, list[Outcome]] = {lo: [] for lo in self._held}
        for outcome in outcomes:
            lo = outcome.index - outcome.index % self._batch.batch_size
            # The chunk is not held any more if its lease was lost; whoever has it now answers.
            if lo in found:
                found[lo].append(outcome)
        chunks = []
        for lo, some in found.items():
            held = self._held[lo]
            held.remaining -= len(some)
            if some or renewing or not held.remaining:
                chunks.append(ChunkOutcomes(held.lease, some, held.prompt_ids, not held.remaining))
        return chunks

    def _activity(self, exchanges: Sequence[Exchange]) -> Activity:
        if not exchanges:
            return Activity(0.0, 0.0, None)
        done = [exchange.done_at for exchange in exchanges]
        if self._counted_until is None:
            self._counted_until = min(exchange.sent_at for exchange in exchanges)
        since, self._counted_until = self._counted_until, max(done)
        unix = self._clock.unix
        return Activity(unix(since), unix(self._counted_until), unix(min(done)))

    def _report(self, stored: Sequence[Outcome]) -> None:
        succeeded = sum(outcome.succeeded for outcome in stored)
        self.progress = Progress(
            succeeded=self.progress.succeeded + succeeded,
            failed=self.progress.failed + len(stored) - succeeded,
            calls=self.progress.calls + sum(outcome.calls for outcome in stored),
            in_flight=self._execution.in_flight,
        )
        self._on_progress(self.progress)


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the database, in the thread that has the connection."""
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)


def _reason(error: ProviderError) -> str:
    return f"{error.kind}: {error.message}"[:1000]
