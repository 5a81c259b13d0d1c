"""How fast calls go out, against simulated buckets: most of the allowance used, few refused."""

import random

import pytest

from batches.engine.pace import FARTHEST_S, FIRST_CALLS, REPLIES_TO_BE_FREE, Limit, Pace, Unit
from tests.engine.simulated_bucket import Bucket, Callers

REQUEST: dict[Unit, float] = {"requests": 1.0, "tokens": 1.0}
CALL: dict[Unit, float] = {"requests": 1.0, "tokens": 1000.0}


def sizes(count: int) -> list[float]:
    """Tokens of prompts of very different lengths."""
    chance = random.Random(5)
    return [min(10 + chance.lognormvariate(5.5, 1.2), 10_000.0) for _ in range(count)]


@pytest.mark.parametrize("rate", [2.0, 50.0, 200.0])
def test_a_limit_that_was_told_is_used_up_and_never_exceeded(rate: float) -> None:
    bucket = Bucket(Limit(rate, rate))
    calls = Callers("requests", [1.0] * int(60 * rate), bucket, told=Limit(rate, 0.95 * rate))
    calls.run()
    assert bucket.refused == 0
    assert bucket.used > 0.98


def test_a_limit_of_tokens_that_was_told_is_kept_with_prompts_of_all_sizes() -> None:
    bucket = Bucket(Limit(20_000.0, 20_000.0))
    Callers("tokens", sizes(1500), bucket, told=Limit(20_000.0, 19_000.0)).run()
    assert bucket.refused == 0
    assert bucket.used > 0.98


@pytest.mark.parametrize("says_when", [True, False], ids=["Retry-After", "nothing said"])
@pytest.mark.parametrize(
    ("rate", "burst"), [(10.0, 50.0), (50.0, 50.0), (150.0, 50.0), (50.0, 300.0), (150.0, 300.0)]
)
def test_a_limit_that_nobody_told_is_learned_from_refusals(
    *, rate: float, burst: float, says_when: bool
) -> None:
    bucket = Bucket(Limit(rate, burst))
    calls = Callers("requests", [1.0] * int(60 * rate), bucket, says_when=says_when).run()
    assert bucket.used > 0.9
    assert bucket.refused < 0.1 * calls


@pytest.mark.parametrize("rate", [10.0, 50.0, 150.0])
def test_where_no_burst_is_allowed_at_all_most_of_the_allowance_is_used_all_the_same(
    rate: float,
) -> None:
    bucket = Bucket(Limit(rate, 1.0))
    calls = Callers("requests", [1.0] * int(60 * rate), bucket).run()
    assert bucket.used > 0.7
    assert bucket.refused < 0.15 * calls


@pytest.mark.parametrize("rate", [10_000.0, 20_000.0, 50_000.0])
def test_a_limit_of_tokens_is_learned_too(rate: float) -> None:
    bucket = Bucket(Limit(rate, rate))
    calls = Callers("tokens", sizes(int(rate / 8)), bucket).run()
    assert bucket.used > 0.9
    assert bucket.refused < 0.1 * calls


@pytest.mark.parametrize("too_much", [0.0, 300.0])
@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_a_limit_that_is_announced_is_used_up_and_hardly_exceeded(
    unit: Unit, too_much: float
) -> None:
    limit = Limit(50.0, 50.0) if unit == "requests" else Limit(20_000.0, 20_000.0)
    amounts = [1.0] * 1500 if unit == "requests" else sizes(1500)
    bucket = Bucket(limit)
    calls = Callers(
        unit, amounts, bucket, announces=True, too_much=too_much if unit == "tokens" else 0.0
    ).run()
    assert bucket.used > 0.96
    assert bucket.refused < 0.02 * calls


class Moody(Bucket):
    """A provider that refuses calls for no reason that the caller could know."""

    chance = random.Random(3)

    def take(self, amount: float, now: float) -> float:
        self.taken += amount
        if self.chance.random() < 0.1:
            self.refused += 1
            return 1.0
        self.level, self.last_at = self.limit.burst, now
        return 0.0


def test_refusals_that_have_nothing_to_do_with_the_pace_do_not_slow_it_down_for_good() -> None:
    provider = Moody(Limit(1.0, 1.0))
    Callers("requests", [1.0] * 2000, provider).run()
    # Each makes a pause of a second. At a pace that is cut for each it would take an hour.
    assert provider.last_at < 180.0


def test_a_limit_that_turns_out_lower_than_told_is_found_out() -> None:
    bucket = Bucket(Limit(20.0, 20.0))
    calls = Callers("requests", [1.0] * 1200, bucket, told=Limit(50.0, 47.5)).run()
    assert bucket.used > 0.85
    assert bucket.refused < 0.25 * calls


def test_after_a_pause_calls_go_out_one_by_one() -> None:
    pace = Pace()
    for _ in range(20):
        pace.reserve(REQUEST, {}, 0.0)
    pace.refused("requests", 1.0, {}, 0.1, epoch=0, pause_s=5.0)
    assert not pace.reserve(REQUEST, {}, 5.0).booked
    waits = [pace.reserve(REQUEST, {}, 5.1).wait_s for _ in range(3)]
    rate = pace.limits({}, 5.1)["requests"].rate
    assert waits == pytest.approx([1 / rate, 2 / rate, 3 / rate])


def test_the_refusals_of_one_moment_slow_down_once() -> None:
    pace = Pace()
    slots = [pace.reserve(REQUEST, {}, 0.0) for _ in range(30)]
    for slot in slots:
        pace.refused("requests", 1.0, {}, 0.1, epoch=slot.epoch, pause_s=0.0)
    assert pace.epoch == 1
    assert pace.limits({}, 0.1)["requests"].rate == pytest.approx(29 / 2)


def test_to_a_new_provider_only_so_many_calls_go_at_first() -> None:
    pace = Pace()
    booked = [pace.reserve(REQUEST, {}, 0.0).booked for _ in range(100)]
    assert sum(booked) == FIRST_CALLS
    pace.replied(REPLIES_TO_BE_FREE)
    slot = pace.reserve(REQUEST, {}, 0.0)
    assert slot.booked
    assert slot.free


def times_of_calls(pace: Pace, count: int, *, begun_at: float) -> list[float]:
    """When the next calls go out, one after another, in seconds from now; all are let in."""
    now = begun_at
    times: list[float] = []
    while len(times) < count:
        slot = pace.reserve(CALL, {}, now)
        now += max(slot.wait_s, 0.0)
        if slot.booked:
            times.append(now - begun_at)
            pace.replied(1)
    return times


@pytest.mark.parametrize("unit", ["requests", "tokens"])
@pytest.mark.parametrize(
    ("let_in", "refused", "every_s"), [(0, 1, 0.0), (0, 50, 0.0), (1, 1, 0.0), (60, 1, 1800.0)]
)
def test_a_refusal_of_which_little_can_be_learned_costs_seconds(
    unit: Unit, let_in: int, refused: int, every_s: float
) -> None:
    pace, now = Pace(), 100.0
    for _ in range(let_in):
        assert pace.reserve(CALL, {}, now).booked
        pace.replied(1)
        now += every_s
    slots = [pace.reserve(CALL, {}, now) for _ in range(refused)]
    for slot in slots:
        pace.refused(unit, CALL[unit], {}, now + 0.5, epoch=slot.epoch, pause_s=0.0)
    assert times_of_calls(pace, 8, begun_at=now + 0.5)[-1] < 20.0


def test_what_a_guess_booked_ends_with_the_guess() -> None:
    pace = Pace()
    slot = pace.reserve(CALL, {}, 0.0)
    pace.refused("tokens", CALL["tokens"], {}, 0.5, epoch=slot.epoch, pause_s=0.0)
    ahead = []
    while (slot := pace.reserve(CALL, {}, 0.5)).booked:
        ahead.append(slot.wait_s)
    assert max(ahead) <= FARTHEST_S
    assert 0.0 < slot.wait_s <= FARTHEST_S
    for unit in CALL:
        pace.announce(unit, Limit(1e6, 1e6), {}, 1e6, 0.6)
    assert pace.reserve(CALL, {}, 0.6).wait_s <= 0.0


@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_an_announced_limit_holds_until_a_told_one_does(unit: Unit) -> None:
    pace = Pace()
    pace.announce(unit, Limit(10.0, 100.0), {}, 100.0, 0.0)
    assert pace.limits({}, 0.0) == {unit: Limit(10.0, 100.0)}
    assert pace.limits({unit: Limit(5.0, 50.0)}, 0.0) == {unit: Limit(5.0, 50.0)}


def test_what_is_given_back_may_be_used_by_the_next() -> None:
    pace = Pace()
    told: dict[Unit, Limit] = {"tokens": Limit(100.0, 1000.0)}
    pace.reserve({"requests": 1.0, "tokens": 1000.0}, told, 0.0)
    assert pace.reserve({"requests": 1.0, "tokens": 100.0}, told, 0.0).wait_s == pytest.approx(1.0)
    pace.give_back("tokens", 900.0, told, 0.0, epoch=0)
    assert pace.reserve({"requests": 1.0, "tokens": 800.0}, told, 0.0).wait_s <= 0.0


def test_what_was_booked_before_a_refusal_does_not_fill_the_bucket_that_it_found_empty() -> None:
    pace = Pace()
    told: dict[Unit, Limit] = {"tokens": Limit(100.0, 1000.0)}
    slots = [pace.reserve({"requests": 1.0, "tokens": 100.0}, told, 0.0) for _ in range(10)]
    pace.refused("tokens", 100.0, told, 0.1, epoch=slots[0].epoch, pause_s=0.0)
    for slot in slots[1:]:
        pace.give_back("tokens", 90.0, told, 0.2, epoch=slot.epoch)
    slot = pace.reserve({"requests": 1.0, "tokens": 100.0}, told, 1.1)
    assert slot.wait_s == pytest.approx(0.0)
    later = pace.reserve({"requests": 1.0, "tokens": 100.0}, told, 1.1)
    assert later.wait_s == pytest.approx(1.0)
    pace.give_back("tokens", 50.0, told, 1.1, epoch=slot.epoch)
    assert pace.reserve({"requests": 1.0, "tokens": 50.0}, told, 1.1).wait_s == pytest.approx(1.0)


def test_what_was_booked_before_a_measurement_began_is_not_taken_from_it() -> None:
    pace = Pace()
    told: dict[Unit, Limit] = {"tokens": Limit(100.0, 100.0)}
    amounts: dict[Unit, float] = {"requests": 1.0, "tokens": 50.0}
    early = [pace.reserve(amounts, told, 0.0) for _ in range(20)]
    # Long and large enough to be measured: here the measurement begins anew.
    pace.refused("tokens", 50.0, told, 10.0, epoch=0, pause_s=0.0)
    late = [pace.reserve(amounts, told, 10.0 + call / 2) for call in range(16)]
    for slot in early:
        pace.give_back("tokens", 40.0, told, 19.0, epoch=slot.epoch)
    pace.refused("tokens", 50.0, told, 20.0, epoch=late[-1].epoch, pause_s=0.0)
    assert pace.limits(told, 20.0)["tokens"].rate == pytest.approx(15 * 50.0 / 10.0)
