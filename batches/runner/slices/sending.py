"""Phase 2 of a slice: send the requests of claimed chunks, and judge the answers."""

import asyncio
import time
from functools import partial
from typing import cast

from batches.conf import conf
from batches.engine.errors import ProviderError
from batches.engine.execute import Execution, ExecutionOptions, Stop
from batches.engine.liveness import Patience
from batches.engine.outages import SharedOutages
from batches.engine.records import Exchange, LadderOptions, PreparedRequest, Reply, Schedule
from batches.engine.retry import RetryPolicy
from batches.engine.structured.ladder import judge_reply
from batches.leases.waiting import WaitingNow
from batches.limits.escalation import steps_of
from batches.models import Batch
from batches.providers.client import ProviderClient
from batches.runner.board import ProviderBoard
from batches.runner.results import Clock
from batches.runner.slice_records import SliceState
from batches.runner.slices.claiming import Claiming, Requests
from batches.runner.slices.parts import SliceParts
from batches.runner.slices.waiting import notes_of, waiting_of


class Sending:
    """Send the requests of a slice, and add the exchanges to the backlog.

    `is_over`: all calls are made and delivered.
    """

    def __init__(self, parts: SliceParts, *, probing: bool) -> None:
        self.is_over = False
        self._parts = parts
        self._batch = parts.batch
        self._probing = probing
        self._window = parts.batch.batch_size
        self._board = ProviderBoard(
            parts.batch.provider_id, parts.database, timeout_s=parts.batch.timeout_s
        )
        self._outages: SharedOutages | None = None
        self._execution: Execution | None = None
        self._task: asyncio.Task[None] | None = None

    async def run(self, client: ProviderClient, claiming: Claiming) -> None:
        """Send all requests; quarantined chunks come last, each by itself."""
        self._task = asyncio.create_task(self._run(client, claiming))
        # Use wait(), not await: storing must continue even if the calls are cancelled.
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()
        self.is_over = True
        self._parts.backlog.flush_now()

    @property
    def pause(self) -> ProviderError | None:
        """Return the error that paused the run, if any."""
        return self._execution.pause if self._execution else None

    def is_idle(self) -> bool:
        """Return True if all requests so far are delivered."""
        return self._execution is None or self._execution.is_idle

    def state(self, clock: Clock) -> SliceState:
        """Return the state of the slice."""
        announced = self._parts.share.limiter.announced()
        if self._execution is None:
            return SliceState(announced=announced)
        return SliceState(
            in_flight=self._execution.in_flight,
            waiting=self._waiting(self._execution, clock),
            notes=notes_of(self._execution, self._parts.share.limiter.held(), clock),
            announced=announced,
            is_undecided=self._execution.is_undecided,
        )

    def apply_outages(self, outages: SharedOutages) -> None:
        """Apply what other runners have found out about the targets; a probe is sent anyway."""
        self._outages = outages
        if self._execution is not None and not self._probing:
            self._execution.apply_shared(outages)

    def apply_leaving(self) -> None:
        """Stop sending if the slice must stop, or make room for other work."""
        if self._execution is None:
            return
        if self._parts.leaving.stop is not None:
            self._execution.stop(self._parts.leaving.stop)
        elif self._parts.leaving.makes_room:
            self._execution.make_room()

    def stop(self) -> None:
        """Start no further call, and finish the calls in flight."""
        self._parts.leaving.request(Stop.FINISH)
        if self._execution is not None:
            self._execution.stop()

    def abandon(self) -> None:
        """Cancel the calls in flight."""
        if self._task is not None:
            self._task.cancel()

    async def abandoned(self) -> None:
        """Cancel the calls in flight, and wait until they are over.

        Raise none of their errors: the slice ends for an error of its own, often the same one.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, client: ProviderClient, claiming: Claiming) -> None:
        leaving = self._parts.leaving
        if self._probing:
            await self._send_all(client, claiming.probe(), window=1)
            return
        await self._send_all(client, claiming.chunks(), window=self._batch.batch_size)
        while not leaving.is_decided and (chunk := await claiming.claim(quarantined=True)):
            await self._send_all(client, claiming.quarantine(chunk), window=1)

    async def _send_all(self, client: ProviderClient, requests: Requests, *, window: int) -> None:
        self._window = window
        self._execution = Execution(
            partial(self._send, client),
            self._deliver,
            self._options(window),
            admit=self._admit,
            drop=self._parts.memory.release,
            judge=partial(judge_reply, options=_ladder_of(self._batch)),
            limiter=self._parts.share.limiter,
            board=self._board,
        )
        if self._outages is not None:
            self.apply_outages(self._outages)
        if self._parts.leaving.stop is None:
            await self._execution.run(requests)
            await self._parts.leaving.apply_pause(self._execution.pause)

    def _options(self, window: int) -> ExecutionOptions:
        return ExecutionOptions(
            batch_size=window,
            schedule=cast("Schedule", self._batch.schedule),
            timeout_s=self._batch.timeout_s,
            retry=RetryPolicy(
                max_attempts=self._batch.max_attempts,
                patience=Patience(total_s=conf().PROVIDER_PATIENCE),
            ),
            answered_before=self._batch.succeeded > 0,
            trusting=self._batch.trusts_refusals,
            tentative=self._probing,
        )

    async def _admit(self, request: PreparedRequest) -> bool:
        """Return True if a request may be sent: the lease of its chunk is certainly valid."""
        await self._parts.until_trusted()
        is_held = self._parts.held.chunk_of(request) is not None
        return is_held and self._parts.leaving.stop is None

    async def _send(self, client: ProviderClient, request: PreparedRequest) -> Reply:
        """Make one call, and read its reply as memory becomes available."""
        with self._parts.memory.reading() as reading:
            reply = await client.send(request, take=reading.take)
            self._parts.memory.keep(request, reply)
            return reply

    async def _deliver(self, exchange: Exchange) -> None:
        """Accept an exchange. Wait while too many are unstored; then nothing is sent either."""
        self._parts.leaving.apply_answer(exchange)
        self._parts.backlog.add(exchange, window=self._window)
        if not self._has_room():
            self._parts.backlog.flush_now()
        await self._parts.backlog.until(self._has_room)

    def _has_room(self) -> bool:
        backlog, memory = self._parts.backlog, self._parts.memory
        return backlog.has_room and (backlog.is_stored or not memory.is_full)

    def _waiting(self, execution: Execution, clock: Clock) -> WaitingNow | None:
        held = self._parts.share.limiter.held()
        return waiting_of(execution, held, clock, now=time.monotonic())


def _ladder_of(batch: Batch) -> LadderOptions:
    return LadderOptions(
        batch.extract_json,
        batch.repair_json,
        batch.max_repair_attempts,
        steps_of(batch.escalate),
    )
