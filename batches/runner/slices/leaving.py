"""Decide when a slice leaves its batch: at a stop, a pause, a spent budget, or to make room."""

from batches.engine.errors import ProviderError
from batches.engine.execute import Stop
from batches.engine.records import Exchange
from batches.lifecycle import PauseKind
from batches.providers import breaker
from batches.runner.database import PatientDatabase
from batches.runner.slice_records import BatchState
from batches.runner.store import SliceStore


class Leaving:
    """The reasons for which a slice leaves its batch.

    `stop`: nothing more may be sent; its value decides about calls in flight. `makes_room`: work is
    left for a later slice. `paused` is the error that paused the batch or its provider,
    `over_budget` says which budget is spent, and `probed_well` that a probe was answered.
    """

    def __init__(self, store: SliceStore, database: PatientDatabase, *, probing: bool) -> None:
        self.stop: Stop | None = None
        self.makes_room = False
        self.paused: ProviderError | None = None
        self.over_budget = ""
        self.probed_well = False
        self._store = store
        self._database = database
        self._probing = probing
        self._paused_for: ProviderError | None = None

    @property
    def is_decided(self) -> bool:
        """Return True if no more work may be started."""
        return self.stop is not None or self.makes_room

    def request(self, how: Stop) -> None:
        """Send nothing more; the stronger of two requests counts."""
        self.stop = max(how, self.stop or how)

    def apply_shared(self, batch: BatchState) -> None:
        """Leave if the batch must not run any more, or if other work waits."""
        self.makes_room = self.makes_room or batch.makes_room
        if batch.stop is not None:
            self.request(batch.stop)

    def apply_budget(self, spent: str) -> None:
        """Leave if a budget is spent."""
        if spent and self.stop is None:
            self.request(Stop.LEAVE)
            self.over_budget = spent

    async def apply_rule(self, broken: str) -> None:
        """Pause the batch at once if one of its rules is broken."""
        if broken and self.stop is None:
            self.request(Stop.LEAVE)
            reason = f"{PauseKind.RULE}: {broken}"
            await self._database.call(self._store.pause, PauseKind.RULE, reason)

    def apply_answer(self, exchange: Exchange) -> None:
        """Record whether a probe shows that the provider may be called again.

        A provider that refuses a prompt for its content accepts the key and the account.
        """
        accepted = exchange.error is None or breaker.shows_it_open(exchange.error)
        self.probed_well = self._probing and accepted

    async def apply_pause(self, error: ProviderError | None) -> None:
        """Pause the provider or the batch at once, without waiting for the last call."""
        if error is None or self._paused_for is not None:
            return
        self._paused_for = error
        self.request(Stop.LEAVE)
        if self._probing and breaker.shows_it_open(error):
            self.probed_well = True
        elif breaker.is_fault_of_provider(error) or not self._probing:
            self.paused = error
            await self._database.call(self._store.pause_for, error)
