"""The rules of the pace; whole runs are in tests/limits/test_limits_in_virtual_time.py."""

import pytest

from batches.engine.rates.announced import announced_limits
from batches.engine.rates.pace import Pace, Reservation
from batches.engine.rates.pace_rules import RULES, Bucket, Limit, Unit, Window
from batches.engine.rates.reset_meaning import LimitReader

REQUEST: dict[Unit, float] = {"requests": 1.0, "tokens": 1.0}


def booked(pace: Pace, now: float, told: dict[Unit, Limit] | None = None) -> Reservation:
    slot = pace.reserve(REQUEST, told or {}, now)
    assert slot.booked
    return slot


def refuse(pace: Pace, now: float, slot: Reservation, pause_s: float = 0.0) -> None:
    pace.refused("requests", 1.0, {}, now, call=slot.call, pause_s=pause_s)


def refuse_until_held(pace: Pace, now: float, pause_s: float = 0.0) -> int:
    """Refuse each call that is sent after the last refusal; how many until a limit is learned."""
    for count in range(1, 20):
        refuse(pace, now, booked(pace, now), pause_s)
        if pace.limits({}, now):
            return count
    raise AssertionError("nothing was learned")


def test_a_refusal_alone_changes_nothing() -> None:
    pace = Pace.begun(0.0)
    refuse(pace, 0.1, booked(pace, 0.0), pause_s=60.0)
    assert pace.limits({}, 0.1) == {}
    assert pace.paused_until == 0.0
    assert booked(pace, 0.1).wait_s == 0.0


@pytest.mark.parametrize("every", [8, 30, 100])
def test_refusals_that_do_not_go_on_are_never_a_limit(every: int) -> None:
    pace = Pace.begun(0.0)
    pace.replied(RULES.replies_to_be_free)
    for call in range(1, 3000):
        slot = booked(pace, call / 100)
        if call % every == 0:
            refuse(pace, call / 100, slot, pause_s=1.0)
    assert pace.limits({}, 30.0) == {}


def test_the_refusals_of_one_moment_are_one() -> None:
    pace = Pace.begun(0.0)
    slots = [booked(pace, 0.0) for _ in range(40)]
    for slot in slots:
        refuse(pace, 0.1, slot, pause_s=60.0)
    assert pace.limits({}, 0.1) == {}
    assert pace.paused_until == 0.0


def test_refusals_that_go_on_hold_all_calls_as_long_as_the_provider_asks() -> None:
    pace = Pace.begun(0.0)
    for _ in range(30):
        booked(pace, 0.0)
    assert refuse_until_held(pace, 0.1, pause_s=5.0) <= 6
    assert not pace.reserve(REQUEST, {}, 5.0).booked
    assert pace.reserve(REQUEST, {}, 5.2).booked


def test_a_pace_is_not_learned_below_what_was_let_in() -> None:
    pace = Pace.begun(0.0)
    pace.replied(RULES.replies_to_be_free)
    for call in range(300):
        booked(pace, call / 100)
    refuse_until_held(pace, 3.0)
    assert pace.limits({}, 3.0)["requests"].rate > 90


def test_what_was_learned_expires() -> None:
    pace = Pace.begun(0.0)
    refuse_until_held(pace, 0.0)
    assert pace.limits({}, 1.0)["requests"].source == "learned"
    assert pace.limits({}, 120.0) == {}


def test_no_place_is_booked_far_ahead_by_a_guess() -> None:
    pace = Pace.begun(0.0)
    refuse_until_held(pace, 0.0)
    ahead = []
    while (slot := pace.reserve(REQUEST, {}, 0.0)).booked:
        ahead.append(slot.wait_s)
    assert max(ahead) <= RULES.farthest_s
    assert 0.0 < slot.wait_s <= RULES.farthest_s


def test_to_a_new_provider_only_so_many_calls_go_at_first() -> None:
    pace = Pace.begun(0.0)
    slots = [pace.reserve(REQUEST, {}, 0.0) for _ in range(100)]
    # The next ones are let out one by one.
    assert RULES.first_calls <= sum(slot.booked for slot in slots) <= RULES.first_calls + 2
    pace.replied(RULES.replies_to_be_free)
    assert pace.reserve(REQUEST, {}, 0.0).booked
    assert pace.is_free({}, 0.0)


def test_a_configured_limit_wins_over_an_advertised_one() -> None:
    pace = Pace.begun(0.0)
    pace.advertised("requests", Bucket(Limit(10.0, 100.0, "advertised"), 100.0, 0.0), {}, 0.0)
    assert pace.limits({}, 0.0) == {"requests": Limit(10.0, 100.0)}
    told: dict[Unit, Limit] = {"requests": Limit(5.0, 50.0)}
    assert pace.limits(told, 0.0) == told


def test_a_window_lets_its_calls_in_at_once_and_the_next_ones_at_its_end() -> None:
    pace = Pace.begun(0.0)
    pace.replied(RULES.replies_to_be_free)
    pace.advertised("requests", Window(3, 3, 10.0, 10.0), {}, 0.0)
    assert [booked(pace, 1.0).wait_s for _ in range(3)] == [0.0] * 3
    later = pace.reserve(REQUEST, {}, 2.0)
    assert (later.booked, later.wait_s) == (False, 8.0)
    assert later.reason == "the rate limit resets"
    assert [booked(pace, 10.0).wait_s for _ in range(3)] == [0.0] * 3
    assert not pace.reserve(REQUEST, {}, 10.0).booked


def test_what_is_given_back_may_be_used_by_the_next() -> None:
    pace = Pace.begun(0.0)
    told: dict[Unit, Limit] = {"tokens": Limit(100.0, 1000.0)}
    first = pace.reserve({"requests": 1.0, "tokens": 1000.0}, told, 0.0)
    assert pace.reserve({"requests": 1.0, "tokens": 100.0}, told, 0.0).wait_s == pytest.approx(1.0)
    pace.give_back("tokens", 900.0, told, 0.0, call=first.call)
    assert pace.reserve({"requests": 1.0, "tokens": 800.0}, told, 0.0).wait_s == 0.0


def headers(limit: int, remaining: int, reset: str) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": reset,
    }


def read(reader: LimitReader, seen: dict[str, str], now: float, retry: float = 0.0) -> object:
    announced = announced_limits(seen)
    assert announced
    return reader.observe(announced["requests"], sent_at=now - 0.1, now=now, retry_after_s=retry)


def test_a_reset_that_grows_with_what_lacks_is_that_of_a_bucket() -> None:
    reader = LimitReader()
    for taken in range(1, 60):
        known = read(reader, headers(60, 60 - taken, f"{taken * 100}ms"), taken / 50)
    assert isinstance(known, Bucket)
    assert known.limit.rate == pytest.approx(10.0, rel=0.05)


@pytest.mark.parametrize("period_s", [10, 60])
def test_a_reset_that_counts_down_is_that_of_a_window(period_s: int) -> None:
    reader = LimitReader()
    for taken in range(1, 60):
        now = taken / 50
        known = read(reader, headers(60, 60 - taken, f"{period_s - now:.2f}s"), now)
    assert isinstance(known, Window)
    assert known.ends_in_s == pytest.approx(period_s - now, abs=0.2)
    assert known.period_s == pytest.approx(period_s, rel=0.05)


def test_a_refusal_until_the_reset_is_that_of_a_window() -> None:
    known = read(LimitReader(), headers(60, 0, "9.5s"), 1.0, retry=9.5)
    assert isinstance(known, Window)
    assert known.ends_in_s == pytest.approx(9.5)


@pytest.mark.parametrize("ends_in_s", [0.0, 0.5, 5.0])
def test_a_wait_for_a_window_ends_at_the_reset_that_was_announced_last(ends_in_s: float) -> None:
    pace = Pace.begun(0.0)
    pace.advertised("tokens", Window(5.0, 1.0, ends_in_s, 50.0), {}, 0.0)
    bucket = Bucket(Limit(100.0, 5.0, "advertised"), 0.0, 2.0, sure=False)
    pace.advertised("tokens", bucket, {}, 0.0)
    amounts: dict[Unit, float] = {"requests": 1.0, "tokens": 100.0}
    for _ in range(3):
        assert pace.reserve(amounts, {}, 1.0).wait_s <= 1.0 + 1e-6
