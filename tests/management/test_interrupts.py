"""Where a signal is raised, and when."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import uvloop
from rich.console import Console

from batches.management.bulk.console import ProgressDisplay
from batches.management.bulk.interrupts import (
    SIGNALS,
    Interrupted,
    interruptible,
    uninterrupted,
    until_interrupted,
)
from batches.management.bulk.run import stopped_by_signals
from batches.stop_signal import StopSignal


def raised_in(
    block: Callable[[], AbstractContextManager[None]], number: signal.Signals, done: list[str]
) -> None:
    with block():
        signal.raise_signal(number)
        done.append("the rest")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(("block", "rest"), [(interruptible, 0), (uninterrupted, 1)])
def test_a_block_ends_at_once_or_with_its_rest(
    block: Callable[[], AbstractContextManager[None]], rest: int, number: signal.Signals
) -> None:
    done: list[str] = []
    with pytest.raises(Interrupted) as raised:
        raised_in(block, number, done)
    assert raised.value.status == 128 + number
    assert len(done) == rest


def collect(got: list[str], at_b: Callable[[], object], behind: Callable[[], object]) -> None:
    with uninterrupted(), until_interrupted("abc") as items:
        for item in items:
            got.append(item)
            if item == "b":
                at_b()
        behind()
        got.append("the rest")


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt_in_vain() -> None:
    """As it goes where C code calls back into ours."""
    with pytest.raises(Interrupted):
        interrupt()


@pytest.mark.parametrize("at_b", [interrupt, interrupt_in_vain])
def test_items_end_at_a_signal_even_if_it_was_lost(at_b: Callable[[], None]) -> None:
    got: list[str] = []
    with pytest.raises(Interrupted):
        collect(got, at_b, lambda: None)
    assert got == ["a", "b"]


def test_behind_the_last_item_a_signal_waits() -> None:
    got: list[str] = []
    with pytest.raises(Interrupted):
        collect(got, lambda: None, interrupt)
    assert got == ["a", "b", "c", "the rest"]


def test_signals_are_afterwards_what_they_were() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interruptible(), uninterrupted(), until_interrupted("abc") as items:
        list(items)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_signals_are_after_a_run_what_they_were_and_nobody_listens_any_more() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    stop, heard = StopSignal(), list[str]()
    display = ProgressDisplay(Console(), quiet=True)
    with (
        stopped_by_signals(stop, display, "") as received,
        stop.heard_by(lambda: heard.append("stop")),
    ):
        signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert [signal.getsignal(number) for number in SIGNALS] == before
    stop.request()
    assert heard == ["stop"]


def test_who_cannot_hear_any_more_keeps_nobody_from_hearing() -> None:
    def closed() -> None:
        raise RuntimeError("Event loop is closed")

    stop, heard = StopSignal(), list[str]()
    with stop.heard_by(closed), stop.heard_by(lambda: heard.append("stop")):
        stop.request()
    assert heard == ["stop"]


UNMAKING = """
import asyncio
import signal
import socket
from batches.management.bulk.interrupts import uninterrupted, until_interrupted

def items():
    yield 1
    signal.raise_signal({number})
    yield 2

with uninterrupted(), until_interrupted(items()) as some:
    try:
        for _ in some:
            if "{first}" == "in the block":
                signal.raise_signal({number})
    finally:
        signal.raise_signal({number})
        print("not reached")
"""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("first", ["in the input", "in the block"])
def test_the_second_signal_ends_also_what_unmakes_a_batch(
    first: str, number: signal.Signals
) -> None:
    program = UNMAKING.format(number=int(number), first=first)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 128 + number
    assert ended.stdout == ""
    assert ended.stderr == "\nStopped immediately. A later run cleans up.\n"


class Reader(asyncio.Protocol):
    """Gets a signal while it is given what has been received."""

    def data_received(self, _data: bytes) -> None:
        signal.raise_signal(signal.SIGINT)


async def receive() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        await asyncio.get_running_loop().create_connection(Reader, sock=ours)
        theirs.send(b"hello")
        await asyncio.Event().wait()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_signal_ends_an_event_loop_wherever_it_is(
    new_loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    with (
        interruptible(),
        asyncio.Runner(loop_factory=new_loop) as runner,
        pytest.raises(Interrupted),
    ):
        runner.run(receive())
    assert caplog.records == []
