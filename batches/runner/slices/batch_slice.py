"""One slice of work on one batch: lease chunks, feed the engine, store the outcomes.

    claim_chunks -> prepare -> Execution -> postprocess -> store_outcomes
    claiming.py     (phase 1)  (phase 2)    (phase 3)      storing.py
                               sending.py

It runs in an event loop; what it does in the database is done in the thread that has the
connection. The jobs share parts that change only themselves, and the store answers each call with
an immutable value.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from batches.conf import conf
from batches.engine.errors import ProviderError
from batches.engine.execute import gather_all
from batches.models import Batch
from batches.models.full_disk import is_full
from batches.providers.configured import provider_client
from batches.runner.database import PatientDatabase, in_database
from batches.runner.holdings import Holdings
from batches.runner.slices.backlog import Backlog
from batches.runner.slices.claiming import Claiming
from batches.runner.slices.fair_share import FairShare
from batches.runner.slices.leaving import Leaving
from batches.runner.slices.memory import Memory
from batches.runner.slices.parts import SliceParts
from batches.runner.slices.sending import Sending
from batches.runner.slices.storing import Storing
from batches.runner.store import SliceStore
from batches.stop_signal import StopSignal

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SliceEnd:
    """The reasons for which a slice ended, and the limits that the provider advertised.

    `stopped`: it was to send nothing more. `makes_room`: it left work for a later slice. `paused`,
    `over_budget` and `probed_well` are as in `Leaving`.
    """

    stopped: bool
    makes_room: bool
    paused: ProviderError | None
    over_budget: str
    probed_well: bool
    announced: dict[str, Any]


class BatchSlice:
    """One run over the chunks that can be claimed."""

    def __init__(
        self,
        batch: Batch,
        store: SliceStore,
        stop: StopSignal,
        *,
        database: PatientDatabase,
        grace_s: float | None,
        probing: bool,
    ) -> None:
        self._batch = batch
        self._store = store
        self._stop = stop
        self._grace_s = grace_s
        self._probing = probing
        self._database = database

    async def run(self) -> SliceEnd:
        """Run until no chunk can be claimed or the slice must stop; then release the chunks."""
        around = await self._database.call(self._store.look_around)
        parts = self._parts()
        await in_database(parts.share.read_prices)
        sending = Sending(parts, probing=self._probing)
        claiming = Claiming(parts, is_idle=sending.is_idle)
        storing = Storing(parts, sending, around)
        # Rules that are broken already keep the slice from sending anything.
        await storing.check_rules()
        loop = asyncio.get_running_loop()
        async with (
            provider_client(self._batch.provider, connections=self._batch.batch_size) as client,
            parts.share.limiter,
        ):
            with self._stop.heard_by(lambda: loop.call_soon_threadsafe(self._end, sending)):
                try:
                    await gather_all(sending.run(client, claiming), storing.run())
                finally:
                    try:
                        await self._leave(parts, sending, storing)
                    finally:
                        parts.memory.release_all()
        return _end_of(parts)

    def _parts(self) -> SliceParts:
        backlog = Backlog(self._batch.batch_size)
        return SliceParts(
            batch=self._batch,
            store=self._store,
            database=self._database,
            share=FairShare(self._batch),
            leaving=Leaving(self._store, self._database, probing=self._probing),
            held=Holdings(),
            backlog=backlog,
            memory=Memory(
                backlog.for_room,
                most=conf().MAX_BYTES_IN_FLIGHT,
                is_stored=lambda: backlog.is_stored,
            ),
        )

    def _end(self, sending: Sending) -> None:
        """Start no further call; abandon calls in flight when the grace period is over."""
        sending.stop()
        if self._grace_s is not None:
            asyncio.get_running_loop().call_later(self._grace_s, self._give_up, sending)

    def _give_up(self, sending: Sending) -> None:
        self._database.give_up()
        sending.abandon()

    async def _leave(self, parts: SliceParts, sending: Sending, storing: Storing) -> None:
        """Release all chunks. First store the received outcomes, even after an error."""
        await sending.abandoned()
        try:
            if not parts.backlog.is_empty:
                self._database.give_up()
                await storing.flush()
        except Exception as error:
            # A full disk raises its error to the caller, who tells it.
            if not is_full(error):
                logger.exception("%s: the last outcomes could not be stored", self._batch)
        await in_database(self._store.release, parts.held.leases)


def _end_of(parts: SliceParts) -> SliceEnd:
    leaving = parts.leaving
    return SliceEnd(
        stopped=leaving.stop is not None,
        makes_room=leaving.makes_room,
        paused=leaving.paused,
        over_budget=leaving.over_budget,
        probed_well=leaving.probed_well,
        announced=parts.share.limiter.announced(),
    )
