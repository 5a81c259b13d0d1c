"""The prompts of a pilot, and the chunks of a batch around them."""

from collections.abc import Iterator
from dataclasses import dataclass

from batches.lifecycle import ChunkState


@dataclass(frozen=True, slots=True)
class PilotSample:
    """The indexes of the prompts that run first: `rows` of `total`, evenly spread."""

    total: int
    rows: int

    def __iter__(self) -> Iterator[int]:
        return map(self._place, range(self.rows))

    def has(self, index: int) -> bool:
        """Return True if the prompt of this index is in the pilot."""
        number = -((self.total - 2 * self.rows * index) // (2 * self.total))
        return 0 <= number < self.rows and self._place(number) == index

    def _place(self, number: int) -> int:
        """Return the middle of the part of the batch with this number."""
        return (2 * number + 1) * self.total // (2 * self.rows)


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A chunk to be created: its prompts from `lo` up to before `hi`, and its first state."""

    lo: int
    hi: int
    state: ChunkState


def sample_of(total: int, rows: int | None) -> PilotSample | None:
    """Return the pilot of a batch; None if all its prompts may run at once."""
    return None if rows is None or rows >= total else PilotSample(total, rows)


def planned_chunks(total: int, size: int, pilot: PilotSample | None) -> Iterator[PlannedChunk]:
    """Yield the chunks of a batch: cut at each multiple of `size`, and around prompts of a pilot.

    Prompts of a pilot that follow each other share a chunk. With a pilot, all other chunks wait.
    """
    if pilot is None:
        for lo in range(0, total, size):
            yield PlannedChunk(lo, min(lo + size, total), ChunkState.READY)
        return
    places = iter(pilot)
    place, lo = next(places, total), 0
    while lo < total:
        end = min(lo - lo % size + size, total)
        if lo < place:
            hi, state = min(end, place), ChunkState.WAITING
        else:
            hi, state = lo, ChunkState.READY
            while hi == place and hi < end:
                hi, place = hi + 1, next(places, total)
        yield PlannedChunk(lo, hi, state)
        lo = hi
