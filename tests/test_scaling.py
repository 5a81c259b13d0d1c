"""The simulation of many workers over one database adds up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import Stage, seconds_for

SECONDS = st.floats(0.001, 1)
STAGES = st.lists(st.builds(Stage, seconds=SECONDS, station=st.integers(0, 1)), min_size=1)
SERVERS = st.lists(st.integers(1, 4), min_size=2, max_size=2)
COUNTS = st.integers(1, 20)


@given(COUNTS, STAGES, SERVERS)
def test_one_worker_takes_the_sum(chunks: int, stages: list[Stage], servers: list[int]) -> None:
    total_s = chunks * sum(stage.seconds for stage in stages)
    assert seconds_for(1, chunks, stages, servers) == pytest.approx(total_s)


@given(COUNTS, COUNTS, STAGES, SERVERS)
def test_no_station_does_more_than_it_can(
    workers: int, chunks: int, stages: list[Stage], servers: list[int]
) -> None:
    took_s = seconds_for(workers, chunks, stages, servers)
    for station, count in enumerate(servers):
        work_s = chunks * sum(stage.seconds for stage in stages if stage.station == station)
        assert took_s >= work_s / count - 1e-9


@given(COUNTS, COUNTS, SECONDS)
def test_workers_with_a_core_each_do_not_wait(workers: int, rounds: int, seconds: float) -> None:
    took_s = seconds_for(workers, workers * rounds, [Stage(seconds, 0)], [workers])
    assert took_s == pytest.approx(rounds * seconds)
