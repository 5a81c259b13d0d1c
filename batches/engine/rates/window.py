"""How many calls may be in flight. Pure: the caller brings clock and latencies.

The window begins at half of its cap, unless that is small, and opens within moments if nothing has
come back by then: answers may take long. It grows with every success, is cut when the provider
keeps failing for lack of capacity, and is soon back at the last size that went well; from there it
grows slowly at first. While answers take much longer than they did, it does not grow.
"""

from math import ceil
from statistics import median

from batches.engine.rates.doubt import Doubt

# So few calls are too much for nobody.
SMALL = 8
# Before anything has come back, the window opens by this share of its cap in each step.
OPENING = 1 / 8
CUT = 0.7
# So much of the last good size is kept in mind when the window is cut below it.
MEMORY = 0.9
# After so many windows of successes the growth is as fast as at the beginning.
SLOW_WINDOWS = 10
LEAST_BLOCK = 16
SLOWER = 2.0
# The latency that counts as usual follows a lasting change by so much for each block of calls.
DRIFT = 1.1


class AdaptiveWindow:
    """`size` is the most calls that may be in flight now, from 1 to `cap`; 0 if that is 0."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._size = float(cap if cap <= SMALL else ceil(cap / 2))
        self._good = float(cap)
        self._cut_after = 0
        self._doubt = Doubt()
        self._clean = 0
        self._latencies: list[float] = []
        self._block = max(LEAST_BLOCK, self.size)
        self._usual_s: float | None = None
        self._slow = False

    @property
    def size(self) -> int:
        return min(max(1, int(self._size)), self._cap)

    @property
    def cap(self) -> int:
        return self._cap

    def limit_to(self, cap: int) -> None:
        """Change the cap; at 0 nothing goes out."""
        self._cap = cap

    @property
    def is_opening(self) -> bool:
        """Return True if no call was answered or cut yet, and the window is below its cap."""
        return self._size < self._cap and not self._clean and not self._cut_after

    def open(self) -> None:
        """Make a step towards the cap."""
        self._size = min(self._size + max(OPENING * self._cap, 1.0), float(self._cap))

    def succeeded(self, latency_s: float) -> None:
        """Take note of a call that was answered."""
        self._clean += 1
        self._watch(latency_s)
        if self._size >= self._cap or self._slow:
            return
        fast = self._size < self._good
        self._size += 1.0 if fast else min(1.0, self._clean / (SLOW_WINDOWS * self._size))

    def congested(self, call: int, *, newest: int, in_flight: int, now: float) -> None:
        """Take note of a call that failed for lack of capacity.

        A failure alone changes nothing. When calls sent after it fail as well, the window is cut;
        of calls sent before a cut no failure counts. `newest` is the call that was sent last.
        """
        if call <= self._cut_after or not self._doubt.is_limit(call, newest, now):
            return
        cap = float(max(self._cap, 1))
        used = min(self._size, cap, max(in_flight, 1.0))
        self._good = max(used, min(MEMORY * self._good, cap))
        self._size = max(1.0, CUT * used)
        self._cut_after = newest
        self._clean = 0

    def _watch(self, latency_s: float) -> None:
        self._latencies.append(latency_s)
        if len(self._latencies) < self._block:
            return
        now_s = median(self._latencies)
        self._latencies.clear()
        self._block = max(LEAST_BLOCK, self.size)
        self._slow = self._usual_s is not None and now_s > SLOWER * self._usual_s
        usual_s = now_s if self._usual_s is None else min(now_s, DRIFT * self._usual_s)
        self._usual_s = usual_s
