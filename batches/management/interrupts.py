"""Ctrl-C and SIGTERM end a command, so that it can say what there is by then."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)

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


def until_interrupted(items: Iterable[T]) -> Iterator[T]:
    """These items, up to a signal. One that came while C code called back into ours is lost where
    it is raised, so it is raised here again."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)
        _interrupt(number, frame)

    with handled_by(handle):
        for item in items:
            yield item
            if received:
                raise Interrupted(received[0])


def _interrupt(number: int, _frame: object) -> None:
    raise Interrupted(number)
