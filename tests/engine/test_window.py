"""How many calls may be in flight, by what came back of those before."""

import pytest

from batches.engine.window import CUT, SMALL, AdaptiveWindow


def answered(window: AdaptiveWindow, calls: int, latency_s: float = 1.0) -> None:
    for _ in range(calls):
        window.succeeded(latency_s)


def full(cap: int) -> AdaptiveWindow:
    """A window that has grown to its cap."""
    window = AdaptiveWindow(cap)
    answered(window, cap)
    assert window.size == cap
    return window


@pytest.mark.parametrize("cap", range(1, SMALL + 1))
def test_a_small_window_is_open_at_once(cap: int) -> None:
    assert AdaptiveWindow(cap).size == cap


@pytest.mark.parametrize("cap", [9, 10, 250, 1000])
def test_a_large_window_begins_below_its_cap(cap: int) -> None:
    assert cap / 2 <= AdaptiveWindow(cap).size < cap


@pytest.mark.parametrize("cap", [9, 10, 250, 1000])
def test_it_opens_in_a_few_steps_while_nothing_comes_back(cap: int) -> None:
    window = AdaptiveWindow(cap)
    steps = 0
    while window.is_opening:
        window.open()
        steps += 1
    assert window.size == cap
    assert steps <= 8


def test_after_an_answer_or_a_refusal_it_opens_by_itself_no_more() -> None:
    one, other = AdaptiveWindow(100), AdaptiveWindow(100)
    one.succeeded(1.0)
    other.congested(sent_at=0.0, in_flight=50, now=1.0)
    assert not one.is_opening
    assert not other.is_opening


def test_it_never_exceeds_its_cap() -> None:
    window = full(20)
    answered(window, 1000)
    assert window.size == 20


def test_a_refusal_cuts_what_was_used() -> None:
    window = full(100)
    window.congested(sent_at=0.0, in_flight=60, now=1.0)
    assert window.size == int(CUT * 60)


def test_the_refusals_of_one_moment_cut_once() -> None:
    window = full(100)
    for _ in range(100):
        window.congested(sent_at=0.5, in_flight=100, now=1.0)
    assert window.size == int(CUT * 100)


def test_refusals_without_end_leave_one_call() -> None:
    window = full(100)
    for moment in range(100):
        window.congested(sent_at=float(moment), in_flight=window.size, now=float(moment))
    assert window.size == 1


def test_it_is_soon_back_at_the_last_good_size_and_slow_beyond_it() -> None:
    window = full(100)
    window.congested(sent_at=0.0, in_flight=50, now=1.0)
    good = 100 * 0.9
    answered(window, 100)
    assert good <= window.size < 95
    answered(window, 3000)
    assert window.size == 100


def test_it_does_not_grow_while_answers_take_much_longer_than_they_did() -> None:
    window = AdaptiveWindow(200)
    answered(window, 100, 1.0)
    window.congested(sent_at=0.0, in_flight=20, now=1.0)
    answered(window, 200, 5.0)
    size = window.size
    answered(window, 10, 5.0)
    assert window.size == size < 200


def test_it_grows_again_when_longer_answers_turn_out_to_be_usual() -> None:
    window = AdaptiveWindow(200)
    answered(window, 100, 1.0)
    window.congested(sent_at=0.0, in_flight=20, now=1.0)
    answered(window, 5000, 5.0)
    assert window.size == 200


def test_a_lower_cap_holds_at_once() -> None:
    window = full(100)
    window.limit_to(10)
    assert window.size == 10
    window.limit_to(0)
    assert window.size == 0
