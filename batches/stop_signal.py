"""Asks running work to stop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

POLL_SECONDS = 0.1


class StopSignal:
    """A request to stop: no new calls, those in flight are finished.

    Safe from any thread and from a signal handler: it takes no lock that its own thread may hold.
    """

    def __init__(self) -> None:
        self.requested = False
        self._listeners: list[Callable[[], object]] = []

    def request(self) -> None:
        self.requested = True
        for listener in list(self._listeners):
            # One whose loop has just been closed must not keep the others from hearing.
            with suppress(RuntimeError):
                listener()

    def wait(self, seconds: float) -> bool:
        """Wait for a request, so long at most; whether there is one."""
        deadline = time.monotonic() + seconds
        while not self.requested and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self.requested

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call a listener at a request, or now if there was one, as long as the block runs."""
        self._listeners.append(listener)
        try:
            if self.requested:
                listener()
            yield
        finally:
            self._listeners.remove(listener)
