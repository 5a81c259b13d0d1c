"""The adaptive window of calls in flight. Pure: the caller passes times and latencies.

A window with a large cap begins at half of it, and opens within moments while no call has returned,
since answers may take long. It grows with every success. It is cut when the provider repeatedly
fails for lack of capacity, and soon returns to the last size without failures; from there it grows
slowly at first. It does not grow while answers take much longer than before.
"""

from math import ceil
from statistics import median

from batches.engine.rates.doubt import Doubt

# A cap up to this number is used from the start: no provider is overloaded by so few calls.
SMALL = 8
# Before any call has returned, each step opens the window by this share of its cap.
OPENING = 1 / 8
CUT = 0.7
# Factor on the remembered good size when the window is cut below it.
MEMORY = 0.9
# After this many windows of successes the growth is as fast as at the beginning.
SLOW_WINDOWS = 10
LEAST_BLOCK = 16
SLOWER = 2.0
# The usual latency follows a lasting change by at most this factor for each block of calls.
DRIFT = 1.1


class AdaptiveWindow:
    """Bounds the calls in flight: `size` is from 1 to `cap`, or 0 if the cap is 0."""

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
        """Change the cap; at 0 no call is sent."""
        self._cap = cap

    @property
    def is_opening(self) -> bool:
        """Return True if no call was answered or cut yet, and the window is below its cap."""
        return self._size < self._cap and not self._clean and not self._cut_after

    def open(self) -> None:
        """Enlarge the window by one step towards the cap."""
        self._size = min(self._size + max(OPENING * self._cap, 1.0), float(self._cap))

    def succeeded(self, latency_s: float) -> None:
        """Record a call that was answered."""
        self._clean += 1
        self._watch(latency_s)
        if self._size >= self._cap or self._slow:
            return
        fast = self._size < self._good
        self._size += 1.0 if fast else min(1.0, self._clean / (SLOW_WINDOWS * self._size))

    def congested(self, call: int, *, newest: int, in_flight: int, now: float) -> None:
        """Record a call that failed for lack of capacity.

        A single failure changes nothing. When calls sent after it fail as well, the window is cut.
        Failures of calls sent before a cut do not count. `newest` is the call that was sent last.
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
