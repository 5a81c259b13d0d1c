"""A signal that asks running work to stop."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

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


@contextmanager
def requested_by_signals(stop: StopSignal) -> Iterator[None]:
    """Request a stop at SIGTERM and SIGINT during the block, and call the handlers of before.

    Where there is none, the process ends by the signal after the block. Python handles signals in
    the main thread, so that the block waits for its own end in any other thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    deferred: list[int] = []

    def heard(number: int, frame: FrameType | None) -> None:
        stop.request()
        handler = before[signal.Signals(number)]
        if handler in {signal.SIG_DFL, signal.default_int_handler}:
            deferred.append(number)
        elif callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if deferred:
        signal.raise_signal(deferred[0])
