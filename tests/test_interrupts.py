"""Where a signal is raised, and when."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from batches.management.interrupts import (
    SIGNALS,
    Interrupted,
    interruptible,
    uninterrupted,
    until_interrupted,
)


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
    with uninterrupted():
        for item in until_interrupted("abc"):
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
    with interruptible(), uninterrupted():
        list(until_interrupted("abc"))
    assert [signal.getsignal(number) for number in SIGNALS] == before
