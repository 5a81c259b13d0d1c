"""Ctrl-C and SIGTERM end a command, so that it can say what there is by then."""

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
    """A signal came that ends the command; `status` is the exit status that says so."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


@contextmanager
def handled_by(handle: Callable[[int, object], None]) -> Iterator[None]:
    """Have both signals call this as long as the block runs."""
    with ExitStack() as stack:
        for number in SIGNALS:
            stack.callback(signal.signal, number, signal.signal(number, handle))
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted wherever the block is when a signal comes."""
    with handled_by(_interrupt):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Raise Interrupted once the block has ended well, if a signal came meanwhile."""
    received: list[int] = []
    with handled_by(lambda number, _frame: received.append(number)):
        yield
    if received:
        raise Interrupted(received[0])


@contextmanager
def until_interrupted(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """Yield these items, up to a signal; behind the last of them a signal is the caller's.

    What the block has made of them it unmakes then, which may take a while: a second signal ends
    the process at once.
    """
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        if received:
            leave("Left at once. The next run tidies up.", number)
        received.append(number)
        _interrupt(number, frame)

    def passing() -> Iterator[T]:
        for item in items:
            yield item
            # One that came while C code called back into ours is lost where it is raised.
            if received:
                raise Interrupted(received[0])
        handled.close()
        if received:
            raise Interrupted(received[0])

    with ExitStack() as handled:
        handled.enter_context(handled_by(handle))
        yield passing()


def leave(message: str, number: int, _frame: object = None) -> NoReturn:
    """End this process at once, from within a handler.

    Not through a console, whose lock the interrupted code may hold; a live bar hides the cursor.
    """
    with suppress(OSError):
        os.write(STDERR, SHOW_CURSOR * os.isatty(STDERR) + f"\n{message}\n".encode())
    os._exit(128 + number)


def _interrupt(number: int, _frame: object) -> None:
    raise Interrupted(number)
