"""How many calls may be in flight, by what came back of those before."""

import pytest

from batches.engine.rates.window import CUT, SMALL, AdaptiveWindow


def answered(window: AdaptiveWindow, calls: int, latency_s: float = 1.0) -> None:
    for _ in range(calls):
        window.succeeded(latency_s)


def keep_failing(window: AdaptiveWindow, first: int, in_flight: int) -> int:
    """Have call after call fail, of which each is sent after the one before came back, until the
    window is cut; return the number of the last."""
    size, call = window.size, first
    while window.size == size and call < first + 50:
        window.congested(call, newest=call, in_flight=in_flight, now=1.0)
        call += 1
    return call - 1


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


def test_after_an_answer_or_a_cut_it_opens_by_itself_no_more() -> None:
    one, other = AdaptiveWindow(100), AdaptiveWindow(100)
    one.succeeded(1.0)
    keep_failing(other, 1, 50)
    assert not one.is_opening
    assert not other.is_opening


def test_it_never_exceeds_its_cap() -> None:
    window = full(20)
    answered(window, 1000)
    assert window.size == 20


@pytest.mark.parametrize("every", [8, 20, 100])
def test_failures_alone_cut_nothing(every: int) -> None:
    window = full(100)
    for call in range(1, 2000):
        if call % every == 0:
            window.congested(call, newest=call + 90, in_flight=100, now=call / 1000)
    assert window.size == 100


def test_failures_that_go_on_cut_what_was_used() -> None:
    window = full(100)
    calls = keep_failing(window, 1, 60)
    assert window.size == int(CUT * 60)
    assert calls < 10


def test_the_failures_of_one_moment_cut_nothing() -> None:
    window = full(100)
    for call in range(1, 101):
        window.congested(call, newest=100, in_flight=100, now=1.0)
    assert window.size == 100


def test_failures_of_calls_sent_before_a_cut_do_not_count() -> None:
    window = full(100)
    last = keep_failing(window, 1, 100)
    for call in range(1, last + 1):
        window.congested(call, newest=last, in_flight=100, now=1.0)
    assert window.size == int(CUT * 100)


def test_failures_without_end_leave_one_call() -> None:
    window = full(100)
    call = 1
    for _ in range(20):
        call = keep_failing(window, call, window.size) + 1
    assert window.size == 1


def test_it_is_soon_back_at_the_last_good_size_and_slow_beyond_it() -> None:
    window = full(100)
    keep_failing(window, 1, 50)
    good = 100 * 0.9
    answered(window, 100)
    assert good <= window.size < 95
    answered(window, 3000)
    assert window.size == 100


def test_it_does_not_grow_while_answers_take_much_longer_than_they_did() -> None:
    window = AdaptiveWindow(200)
    answered(window, 100, 1.0)
    keep_failing(window, 1, 20)
    answered(window, 200, 5.0)
    size = window.size
    answered(window, 10, 5.0)
    assert window.size == size < 200


def test_it_grows_again_when_longer_answers_turn_out_to_be_usual() -> None:
    window = AdaptiveWindow(200)
    answered(window, 100, 1.0)
    keep_failing(window, 1, 20)
    answered(window, 5000, 5.0)
    assert window.size == 200


def test_a_lower_cap_holds_at_once() -> None:
    window = full(100)
    window.limit_to(10)
    assert window.size == 10
    window.limit_to(0)
    assert window.size == 0
