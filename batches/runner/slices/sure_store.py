"""Store outcomes reliably: retry while the database is away, split what the database refuses."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from batches.database import is_absent
from batches.engine.execute import Stop
from batches.leases.chunks import Lease
from batches.models import Batch
from batches.models.full_disk import is_full
from batches.runner.database import PatientDatabase, in_database, reconnect
from batches.runner.pieces import Pieces
from batches.runner.results import Activity, ChunkOutcomes
from batches.runner.slice_records import BatchState, SliceState, Stored
from batches.runner.slices.leaving import Leaving
from batches.runner.store import SliceStore

logger = logging.getLogger(__name__)

# Waits before each retry of a refused flush; after the last retry the batch pauses.
REFUSAL_WAITS_S = (0.0, 0.1, 0.3, 1.0)


class SureStore:
    """Store the outcomes of a slice. During a long retry the slice sends nothing."""

    def __init__(
        self, batch: Batch, store: SliceStore, database: PatientDatabase, leaving: Leaving
    ) -> None:
        self._batch = batch
        self._store = store
        self._database = database
        self._leaving = leaving

    async def look(self, state: SliceState) -> BatchState | None:
        """Look around, when the database is back; return None if that fails, which must not keep
        outcomes from being stored."""
        try:
            return await self._database.call(self._store.look, state)
        except Exception as error:
            logger.warning("%s: could not look around: %s", self._batch, error)
            await in_database(reconnect)
            return None

    async def store(
        self,
        chunks: Sequence[ChunkOutcomes],
        activity: Activity,
        state: SliceState,
        *,
        renewing: bool,
    ) -> Pieces:
        """Store outcomes and renew leases; the result lists the rows refused in the end."""
        store = partial(self._store.store, chunks, activity, state, renewing=renewing)
        try:
            return self._whole(await in_database(store))
        except Exception as error:
            if not is_full(error):
                logger.warning("%s: could not store, trying again: %s", self._batch, error)
        await in_database(reconnect)
        in_pieces = partial(self._store.store_in_pieces, activity=activity, state=state)
        return await self._store_again(partial(store, again=True), chunks, in_pieces)

    def _whole(self, stored: Stored) -> Pieces:
        if not stored.is_runner:
            self._leaving.request(Stop.LEAVE)
        return Pieces(lost=stored.lost)

    async def _store_again(
        self,
        store: Callable[[], Stored],
        chunks: Sequence[ChunkOutcomes],
        in_pieces: Callable[..., Pieces],
    ) -> Pieces:
        """Retry a failed flush; split it if the database refuses it.

        If the rows are probably not at fault, retry all of them, since they are paid for. Then
        store the replies that can be kept whole, and pause the batch.
        """
        try:
            return self._whole(await self._database.call(store))
        except Exception as error:
            if is_absent(error):
                raise
        pieces = Pieces(refused=chunks)
        lost: frozenset[Lease] = frozenset()
        for wait_s in REFUSAL_WAITS_S:
            await asyncio.sleep(wait_s)
            last = wait_s == REFUSAL_WAITS_S[-1]
            pieces = await self._database.call(in_pieces, pieces.refused, reduce=last)
            lost |= pieces.lost
            if not pieces.reason or not (pieces.refused or last):
                return replace(pieces, lost=lost)
        self._leaving.request(Stop.LEAVE)
        await self._database.call(self._store.pause_refused, pieces.reason)
        return replace(pieces, lost=lost)
