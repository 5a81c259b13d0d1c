"""Time in which nobody worked on a batch is cut out of its charts: before a retry, in a pause."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from batches.admin.samples import Sample, Samples

# A shorter time is not worth a cut.
SHORTEST_CUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Seconds that are left out before a moment, as Unix time."""

    before: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without a call."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def idle_cuts(samples: Samples, active_s: float) -> list[Cut]:
    """What to cut out, in order: the longest times without a call, but none that was active.

    Waiting for a rate limit is active time, and stays.
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
    """The samples moved together by what is cut out."""
    if not cuts:
        return samples
    moved = [
        replace(one, done_at=one.done_at - cut_s(cuts, one.begun_at)) for one in samples.results
    ]
    return replace(samples, results=moved)


def cut_s(cuts: Sequence[Cut], moment: float) -> float:
    """How much is cut out up to a moment."""
    return sum(cut.seconds for cut in cuts if cut.before <= moment)


def _gaps(results: Sequence[Sample]) -> Iterator[Gap]:
    ordered = sorted(results, key=attrgetter("begun_at"))
    reach = ordered[0].done_at
    for one in ordered:
        if one.begun_at > reach:
            yield Gap(reach, one.begun_at)
        reach = max(reach, one.done_at)
