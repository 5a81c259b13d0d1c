"""A signal that asks running work to stop."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

POLL_SECONDS = 0.1


class StopSignal:
    """A request to stop: no new calls are sent, calls in flight finish.

    It may be used from any thread and from a signal handler, since it takes no lock that its own
    thread may hold.
    """

    def __init__(self) -> None:
        self.requested = False
        self._listeners: list[Callable[[], object]] = []

    def request(self) -> None:
        self.requested = True
        for listener in list(self._listeners):
            # A listener whose event loop was just closed must not stop the others.
            with suppress(RuntimeError):
                listener()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for a stop request; return True if there is one."""
        deadline = time.monotonic() + seconds
        while not self.requested and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        return self.requested

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call a listener on a request while the block runs, or now if there was one already."""
        self._listeners.append(listener)
        try:
            if self.requested:
                listener()
            yield
        finally:
            self._listeners.remove(listener)
