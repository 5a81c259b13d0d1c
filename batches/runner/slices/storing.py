"""Phase 3 of a slice: make outcomes of what has arrived, and store them."""

import time
from collections.abc import Sequence
from decimal import Decimal

from batches.engine.postprocess import postprocess_exchange
from batches.engine.records import Exchange
from batches.runner.database import in_database
from batches.runner.results import Activity
from batches.runner.slice_records import SliceState
from batches.runner.slices.parts import SliceParts
from batches.runner.slices.sending import Sending
from batches.runner.slices.sure_store import SureStore
from batches.runner.surroundings import Surroundings

SECONDS_BETWEEN_LOOKS = 1.0


class Storing:
    """Store the backlog every half second or sooner, renew the leases, and look around."""

    def __init__(self, parts: SliceParts, sending: Sending, around: Surroundings) -> None:
        self._parts = parts
        self._sending = sending
        self._sure = SureStore(parts.batch, parts.store, parts.database, parts.leaving)
        self._counted_until: float | None = None
        self._looked_at = time.monotonic()
        self._clock = around.clock
        self._apply_shared(around)

    async def run(self) -> None:
        """Flush until all calls are made and stored."""
        while not (self._sending.is_over and self._parts.backlog.is_empty):
            await self._parts.backlog.until_due()
            await self.flush()

    async def flush(self) -> None:
        """Store everything that has arrived, in the order of the prompts."""
        parts = self._parts
        renewing = parts.held.are_due
        state = self._sending.state(self._clock)
        await self._look(state)
        exchanges, outcomes = parts.backlog.take()
        exchanges.sort(key=lambda exchange: exchange.request.index)
        outcomes += [(e.request.ticket, postprocess_exchange(e)) for e in exchanges]
        # Count from the time the renewal is sent, not from its confirmation.
        now = time.monotonic()
        chunks = parts.held.close(outcomes, await self._costs(exchanges), renewing=renewing)
        pieces = await self._sure.store(chunks, self._activity(exchanges), state, renewing=renewing)
        refused = {chunk.lease for chunk in pieces.refused}
        parts.held.let_go([c for c in chunks if c.lease not in refused], pieces.lost)
        parts.backlog.stored(len(exchanges))
        for exchange in exchanges:
            parts.memory.release(exchange.request)
        if renewing:
            parts.held.renewed(now)
        await parts.leaving.apply_pause(self._sending.pause)
        await self.check_rules()
        self._sending.apply_leaving()
        await parts.backlog.flushed()

    async def check_rules(self) -> None:
        """Pause the batch if one of its rules is broken."""
        parts = self._parts
        await parts.leaving.apply_rule(parts.share.broken_rule(parts.store.figures))

    async def _look(self, state: SliceState) -> None:
        """Look around, from time to time."""
        if time.monotonic() - self._looked_at <= SECONDS_BETWEEN_LOOKS:
            return
        self._looked_at = time.monotonic()
        batch = await self._sure.look(state)
        if batch is not None:
            self._parts.leaving.apply_shared(batch)
            self._apply_shared(batch.surroundings)

    def _apply_shared(self, around: Surroundings) -> None:
        """Update this runner's share, and leave the batch when its budget is spent."""
        self._clock = around.clock
        self._sending.apply_outages(around.outages)
        parts = self._parts
        parts.leaving.apply_budget(parts.share.look(around, parts.store.figures))

    async def _costs(self, exchanges: Sequence[Exchange]) -> dict[int, Decimal]:
        """Return the cost of each exchange; read new prices in the other thread."""
        share = self._parts.share
        if share.knows_costs(exchanges):
            return share.costs(exchanges)
        return await in_database(share.costs, exchanges)

    def _activity(self, exchanges: Sequence[Exchange]) -> Activity:
        if not exchanges:
            return Activity(0.0, 0.0, None)
        done = [exchange.done_at for exchange in exchanges]
        if self._counted_until is None:
            self._counted_until = min(exchange.sent_at for exchange in exchanges)
        since, self._counted_until = self._counted_until, max(self._counted_until, *done)
        unix = self._clock.unix
        return Activity(unix(since), unix(self._counted_until), unix(min(done)))
