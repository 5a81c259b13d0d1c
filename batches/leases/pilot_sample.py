"""The prompts of a pilot, and the chunks of a batch around them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from batches.lifecycle import ChunkState
from batches.models import Batch


class Group(NamedTuple):
    """Prompts with the same value in a column: their number, and the indexes of the ones that
    run first."""

    total: int
    indexes: Sequence[int]


@dataclass(frozen=True)
class GroupedSample:
    """The indexes of the prompts that run first, chosen from groups."""

    groups: Sequence[Group]

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._indexes))

    @property
    def rows(self) -> int:
        """Return the number of these prompts."""
        return len(self._indexes)

    def has(self, index: int) -> bool:
        """Return True if the prompt of this index is in the pilot."""
        return index in self._indexes

    @cached_property
    def _indexes(self) -> frozenset[int]:
        return frozenset(chain.from_iterable(group.indexes for group in self.groups))


@dataclass(frozen=True, slots=True)
class EvenSample:
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


PilotSample = EvenSample | GroupedSample


def pilot_sample(batch: Batch) -> PilotSample | None:
    """Return the pilot of a batch; None if all its prompts may run at once."""
    return sample_of(batch.total, batch.pilot_rows, batch.pilot_groups)


def sample_of(
    total: int, rows: int | None, groups: Sequence[tuple[int, Sequence[int]]] | None = None
) -> PilotSample | None:
    """Return a pilot of this number of rows, the given ones if there are groups; None if it is the
    whole batch."""
    if rows is None or rows >= total:
        return None
    return GroupedSample([Group(*group) for group in groups]) if groups else EvenSample(total, rows)


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
