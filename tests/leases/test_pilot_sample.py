"""Which prompts a pilot has, and how the chunks of a batch lie around them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.leases.pilot_sample import EvenSample, PlannedChunk, planned_chunks, sample_of
from batches.lifecycle import ChunkState

READY, WAITING = ChunkState.READY, ChunkState.WAITING


@st.composite
def samples(draw: st.DrawFn) -> EvenSample:
    total = draw(st.integers(2, 400))
    return EvenSample(total, draw(st.integers(1, total - 1)))


@given(samples())
def test_a_pilot_has_its_number_of_prompts_and_they_are_evenly_spread(pilot: EvenSample) -> None:
    places = list(pilot)
    assert len(places) == pilot.rows
    # The last and the first are as far from each other as any two, in a circle.
    steps = [after - before for before, after in pairwise([*places, places[0] + pilot.total])]
    assert min(steps) >= 1
    assert max(steps) - min(steps) <= 1
    assert [index for index in range(pilot.total) if pilot.has(index)] == places


@given(samples(), st.integers(1, 50))
def test_the_chunks_have_each_prompt_once_and_none_has_both_kinds(
    pilot: EvenSample, size: int
) -> None:
    chunks = list(planned_chunks(pilot.total, size, pilot))
    prompts = [index for chunk in chunks for index in range(chunk.lo, chunk.hi)]
    assert prompts == list(range(pilot.total))
    for chunk in chunks:
        # As without a pilot, a chunk lies between two multiples of the size.
        assert chunk.lo // size == (chunk.hi - 1) // size
        kinds = {pilot.has(index) for index in range(chunk.lo, chunk.hi)}
        assert kinds == {chunk.state == READY}


@pytest.mark.parametrize(
    ("total", "rows", "chunks"),
    [
        (5, None, [(0, 2, READY), (2, 4, READY), (4, 5, READY)]),
        (5, 5, [(0, 2, READY), (2, 4, READY), (4, 5, READY)]),
        (5, 9, [(0, 2, READY), (2, 4, READY), (4, 5, READY)]),
        (5, 1, [(0, 2, WAITING), (2, 3, READY), (3, 4, WAITING), (4, 5, WAITING)]),
        (5, 4, [(0, 2, READY), (2, 3, WAITING), (3, 4, READY), (4, 5, READY)]),
    ],
)
def test_chunks(total: int, rows: int | None, chunks: list[tuple[int, int, ChunkState]]) -> None:
    planned = planned_chunks(total, 2, sample_of(total, rows))
    assert list(planned) == [PlannedChunk(*chunk) for chunk in chunks]


def test_a_million_prompts_get_few_chunks_more() -> None:
    pilot = EvenSample(999_983, 50)
    assert sum(1 for _ in planned_chunks(999_983, 100, pilot)) <= 10_000 + 2 * 50
