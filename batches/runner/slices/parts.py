"""The parts of a slice that its jobs share."""

from collections.abc import Callable
from dataclasses import dataclass

from batches.models import Batch
from batches.runner.database import PatientDatabase
from batches.runner.holdings import Holdings
from batches.runner.slices.backlog import Backlog
from batches.runner.slices.fair_share import FairShare
from batches.runner.slices.leaving import Leaving
from batches.runner.slices.memory import Memory
from batches.runner.store import SliceStore


@dataclass(frozen=True, slots=True)
class SliceParts:
    """The parts of a slice. Each changes only itself; the jobs call their methods."""

    batch: Batch
    store: SliceStore
    database: PatientDatabase
    share: FairShare
    leaving: Leaving
    held: Holdings
    backlog: Backlog
    memory: Memory

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that a flush may make true, or until the slice must stop."""
        await self.backlog.until(lambda: condition() or self.leaving.stop is not None)

    async def until_trusted(self) -> None:
        """Wait while our leases may have expired."""
        if not self.held.are_trusted:
            await self.until(lambda: self.held.are_trusted)
