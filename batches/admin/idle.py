"""Cut idle time out of the charts of a batch: no worker ran it, as in a pause or before a retry."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from batches.admin.samples import Sample, Samples

# Shorter gaps are not cut out.
SHORTEST_CUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Seconds that are cut out just before a moment, which is a Unix time."""

    before: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time span without a call, as Unix times."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def idle_cuts(samples: Samples, active_s: float) -> list[Cut]:
    """Return the cuts in order: the longest gaps between calls, up to the idle time of the batch.

    Waiting for a rate limit is active time, and is not cut out.
    """
    results = samples.results
    if not results or not active_s:
        return []
    idle_s = results[-1].done_at - min(one.begun_at for one in results) - active_s
    cuts = []
    for gap in sorted(_gaps(results), key=attrgetter("seconds"), reverse=True):
        seconds = min(gap.seconds, idle_s)
        if seconds < SHORTEST_CUT_S:
            break
        cuts.append(Cut(gap.end, seconds))
        idle_s -= seconds
    return sorted(cuts, key=attrgetter("before"))


def without(cuts: Sequence[Cut], samples: Samples) -> Samples:
    """Return the samples with the cuts removed from their times."""
    if not cuts:
        return samples
    moved = [
        replace(one, done_at=one.done_at - cut_s(cuts, one.begun_at)) for one in samples.results
    ]
    return replace(samples, results=moved)


def cut_s(cuts: Sequence[Cut], moment: float) -> float:
    """Return the seconds that are cut out up to a moment."""
    return sum(cut.seconds for cut in cuts if cut.before <= moment)


def _gaps(results: Sequence[Sample]) -> Iterator[Gap]:
    ordered = sorted(results, key=attrgetter("begun_at"))
    reach = ordered[0].done_at
    for one in ordered:
        if one.begun_at > reach:
            yield Gap(reach, one.begun_at)
        reach = max(reach, one.done_at)
