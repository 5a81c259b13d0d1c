"""Let Ctrl-C and SIGTERM end a command in order, so that it can report what is stored."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NoReturn, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"
STDERR = 2

T = TypeVar("T")


class Interrupted(KeyboardInterrupt):
    """A signal ends the command; `status` is the exit status for this signal."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def handled_by(handle: Callable[[int, object], None]) -> Iterator[None]:
    """Call `handle` on SIGINT and SIGTERM while the block runs."""
    with ExitStack() as stack:
        for number in SIGNALS:
            stack.callback(signal.signal, number, signal.signal(number, handle))
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted inside the block as soon as a signal arrives."""
    with handled_by(_interrupt):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Defer signals: raise Interrupted after the block has succeeded, if a signal arrived."""
    received: list[int] = []
    with handled_by(lambda number, _frame: received.append(number)):
        yield
    if received:
        raise Interrupted(received[0])


@contextmanager
def until_interrupted(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Yield the items until a signal arrives; after the last item, signals go to the caller.

    On a signal the block undoes its work, which may take a while: a second signal ends the process
    immediately.
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            leave("Stopped immediately. A later run cleans up.", number)
        received.append(number)
        _interrupt(number, frame)

    def passing() -> Iterator[T]:
        for item in items:
            yield item
            # An Interrupted raised in a callback from C code is swallowed, so check again here.
            if received:
                raise Interrupted(received[0])
        handled.close()
        if received:
            raise Interrupted(received[0])

    with ExitStack() as handled:
        handled.enter_context(handled_by(handle))
        yield passing()


def leave(message: str, number: int, _frame: object = None) -> NoReturn:
    """End this process immediately, from within a signal handler.

    Write to the descriptor, since the interrupted code may hold the lock of the console. Show the
    cursor again, since a live bar hides it.
    """
    with suppress(OSError):
        os.write(STDERR, SHOW_CURSOR * os.isatty(STDERR) + f"\n{message}\n".encode())
    os._exit(128 + number)


def _interrupt(number: int, _frame: object) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise Interrupted(number) from None
    # Raised in the callback of a transport, it would be logged as an error of that transport. A
    # callback of the loop itself raises it to the caller of the loop.
    loop.call_soon_threadsafe(_raise, Interrupted(number))


def _raise(error: BaseException) -> NoReturn:
    raise error
