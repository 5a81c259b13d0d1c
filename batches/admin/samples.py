"""Completion times and latencies of prompts; a sample of them for a large batch.

Reading a million results takes seconds, and open pages refresh every two seconds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from batches.models import Batch, Result
from batches.models.bounds import IDS_IN_A_QUERY

MOST_SAMPLES = 2000
# Up to this many results of a running batch are counted.
LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One result; `done_at` is a Unix time. `latency_s` is None if the prompt was never sent."""

    done_at: float
    latency_s: float | None

    @property
    def begun_at(self) -> float:
        return self.done_at - (self.latency_s or 0.0)


@dataclass(frozen=True, slots=True)
class Samples:
    """Results in the order in which they finished; each stands for `weight` results."""

    results: list[Sample]
    weight: int

    @property
    def latencies(self) -> list[float]:
        return sorted(one.latency_s for one in self.results if one.latency_s is not None)


def samples_of(batch: Batch, *, most: int = MOST_SAMPLES) -> Samples:
    """Load evenly spread results of a batch, in a bounded number of queries."""
    step = max(1, -(-batch.total // most))
    rows = _all(batch) if step == 1 else _some(batch, range(0, batch.total, step))
    # A prompt that was never sent has no time of completion.
    found = [
        Sample(done_at.timestamp(), latency)
        for done_at, latency, kind in rows
        if kind not in Result.NEVER_RAN
    ]
    return Samples(sorted(found, key=lambda one: one.done_at), step)


Row = tuple[datetime, float | None, str]


def _all(batch: Batch) -> Iterator[Row]:
    yield from Result.objects.filter(batch=batch).values_list("done_at", "latency_s", "kind")


def _some(batch: Batch, indexes: range) -> Iterator[Row]:
    for start in range(0, len(indexes), IDS_IN_A_QUERY):
        some = Result.objects.filter(
            batch=batch,
            # Both statuses, named because the database index begins with the status.
            status__in=(Result.SUCCEEDED, Result.FAILED),
            index__in=indexes[start : start + IDS_IN_A_QUERY],
        )
        yield from some.values_list("done_at", "latency_s", "kind")
