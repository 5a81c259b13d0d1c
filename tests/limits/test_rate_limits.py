"""Limits are shared by all processes, in Redis, by the engine's rules."""

import asyncio
import math
import socket
import time
from collections.abc import Iterator

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.rates.pace import Pace
from batches.engine.rates.pace_rules import UNITS, Limit, Unit
from batches.limits.limit_stores import forget_limits, limits_at
from batches.limits.rate_limits import LocalLimits, News, apply, key_of, per_minute
from batches.limits.redis_limits import RedisLimits
from tests.servers import RedisServer
from tests.virtual_time import virtually
from tests.waiting import PATIENCE_S

# More than a limit of a hundred a second allows at once.
ENOUGH = 300
ONE: dict[Unit, float] = {"requests": 1, "tokens": 0}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a Redis that is there may take longer than it is given in production."""
    monkeypatch.setattr("batches.limits.redis_limits.REDIS_PATIENCE_S", PATIENCE_S)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


AMOUNTS = st.floats(0, 5000)
UNIT = st.sampled_from(UNITS)
NEWS: st.SearchStrategy[News] = st.one_of(
    st.tuples(st.just("sent"), st.integers(0, 50), AMOUNTS),
    st.tuples(st.just("give_back"), UNIT, st.floats(-500, 500), st.integers(0, 30)),
    st.tuples(st.just("replied"), st.integers(1, 600)),
    st.tuples(
        st.just("refused"), UNIT, st.floats(1, 100), st.integers(0, 30), st.sampled_from([0.0, 2.7])
    ),
    st.tuples(
        *(st.just("bucket"), UNIT, st.floats(0.01, 500), st.floats(1, 5000), st.floats(0, 5000)),
        *(st.floats(0, 100), st.booleans()),
    ),
    st.tuples(
        *(st.just("window"), UNIT, st.floats(1, 5000), st.floats(0, 5000)),
        *(st.floats(0, 60), st.floats(0.001, 60)),
    ),
)
TOLD = st.dictionaries(UNIT, st.builds(Limit, st.floats(0.01, 500), st.floats(1, 5000)))
CALLS = st.lists(st.fixed_dictionaries({"requests": st.just(1.0), "tokens": AMOUNTS}), max_size=3)
STEPS = st.lists(
    st.tuples(st.floats(0.0, 30.0), st.lists(NEWS, max_size=3), CALLS), min_size=1, max_size=30
)


@given(told=TOLD, steps=STEPS)
def test_whatever_happens_places_are_finite_and_the_state_survives_as_text(
    told: dict[Unit, Limit],
    steps: list[tuple[float, list[News], list[dict[Unit, float]]]],
) -> None:
    now = 1_800_000_000.0
    pace = Pace.begun(now)
    for passed, news, calls in steps:
        now += passed
        copy = Pace.load(pace.dump())
        answer = apply(pace, told, news, calls, now)
        assert apply(copy, told, news, calls, now) == answer
        assert copy.dump() == pace.dump()
        assert all(0 <= slot.wait_s < math.inf for slot in answer.slots)
        assert all(limit.rate > 0 and limit.burst > 0 for limit in answer.limits.values())


@given(steps=STEPS)
def test_no_wait_passes_the_reset_that_was_announced_last(
    steps: list[tuple[float, list[News], list[dict[Unit, float]]]],
) -> None:
    """One call at a time, and no refusals: what is announced is all that limits."""
    now = 1_800_000_000.0
    pace = Pace.begun(now)
    resets: dict[Unit, float] = {}
    for passed, news, calls in steps:
        now += passed
        said = [item for item in news if item[0] in {"bucket", "window"}]
        apply(pace, {}, said, [], now)
        for item in said:
            unit: Unit = "requests" if item[1] == "requests" else "tokens"
            resets[unit] = now + float(item[5 if item[0] == "bucket" else 4])
        for amounts in calls[:1]:
            (slot,) = apply(pace, {}, [], [amounts], now).slots
            ahead = [max(at - now, 0.0) for at in resets.values()]
            if slot.reason != "the provider is new" and ahead and all(ahead):
                assert slot.wait_s <= max(ahead) + 1e-6


def redis_time(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


async def admit(limits: RedisLimits, told: dict[Unit, Limit], taken: list[int]) -> None:
    """Take places as fast as they are given, until all sharers have enough; all are due by then."""
    while len(taken) < ENOUGH:
        (slot,) = (await limits.ask("key", told, [], [ONE])).slots
        await asyncio.sleep(slot.wait_s)
        if slot.booked:
            taken.append(slot.call)


async def test_four_who_share_a_limit_get_no_more_than_it_by_the_clock_of_redis(
    server: RedisServer,
) -> None:
    server.flushall()
    told = per_minute(6000, None)
    sharers = [RedisLimits(server.url) for _ in range(4)]
    taken: list[int] = []
    with redis.Redis.from_url(server.url) as client:
        began = redis_time(client)
        await asyncio.gather(*(admit(limits, told, taken) for limits in sharers))
        took = redis_time(client) - began
    for limits in sharers:
        await limits.aclose()
    most = told["requests"].burst + told["requests"].rate * took
    # Each of the four may have one place more, which was booked and is not due yet.
    assert ENOUGH <= len(taken) <= most + 4
    assert len(set(taken)) == len(taken)


async def test_a_pause_holds_for_all_at_once(server: RedisServer) -> None:
    server.flushall()
    one, other = RedisLimits(server.url), RedisLimits(server.url)
    began = time.monotonic()
    for _ in range(5):
        (slot,) = (await one.ask("key", {}, [], [ONE])).slots
        assert slot.booked
        await one.ask("key", {}, [("refused", "requests", 1, slot.call, 60.0)], [])
    (slot,) = (await other.ask("key", {}, [], [ONE])).slots
    assert not slot.booked
    # However long it took to get here.
    assert 60 - (time.monotonic() - began) <= slot.wait_s <= 60
    (slot,) = (await other.ask("another", {}, [], [ONE])).slots
    assert slot.booked
    await one.aclose()
    await other.aclose()


@virtually
async def test_without_redis_each_process_keeps_to_its_share() -> None:
    limits = LocalLimits()
    limits.sharers = 4
    told = per_minute(60 * 400, None)
    booked = [await limits.ask("share", told, [], [ONE]) for _ in range(100)]
    assert booked[0].limits["requests"].rate == pytest.approx(100.0)
    # 95 at once, the others in their turn.
    waits = [answer.slots[0].wait_s for answer in booked]
    assert waits[:95] == pytest.approx([0.0] * 95)
    assert waits[95:] == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])


@pytest.mark.parametrize("fault", ["killed", "silent"])
async def test_with_redis_gone_the_last_limit_is_shared_and_never_none(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisServer() as server:
        limits = RedisLimits(server.url)
        limits.sharers = 2
        announced: News = ("bucket", "requests", 10.0, 20.0, 20.0, 0.0, True)
        known = await limits.ask(f"gone {fault}", {}, [announced], [ONE])
        assert known.limits["requests"] == Limit(10.0, 20.0)
        server.kill() if fault == "killed" else server.pause()
        monkeypatch.setattr("batches.limits.redis_limits.REDIS_PATIENCE_S", 0.1)
        began = time.monotonic()
        asked = [await limits.ask(f"gone {fault}", {}, [], [ONE]) for _ in range(31)]
        waits = [answer.slots[0].wait_s for answer in asked]
        # Ten at once, then five a second.
        assert max(waits[:9]) <= 0
        # The last of them is due 4.2 s after the first, however long it took to ask.
        assert 4.2 - (time.monotonic() - began) - 0.01 <= waits[-1] <= 4.2
        await limits.aclose()
        server.resume() if fault == "silent" else None


async def test_redis_is_asked_again_when_it_is_back(server: RedisServer) -> None:
    server.flushall()
    limits = RedisLimits(server.url)
    limits._away_until = float("inf")
    assert (await limits.ask("back", per_minute(60, None), [], [ONE])).slots[0].booked
    with redis.Redis.from_url(server.url) as client:
        assert not client.exists("back")
        limits._away_until = 0.0
        await limits.ask("back", per_minute(60, None), [], [ONE])
        assert client.exists("back")
        assert 0 < client.ttl("back") <= 3600
    await limits.aclose()


async def test_runners_that_ask_at_one_moment_all_get_places_of_their_own(
    server: RedisServer,
) -> None:
    server.flushall()
    runners = [RedisLimits(server.url) for _ in range(8)]
    answers = await asyncio.gather(*(each.ask("key", {}, [], [ONE, ONE]) for each in runners))
    calls = [slot.call for answer in answers for slot in answer.slots]
    assert sorted(calls) == list(range(1, 17))
    for each in runners:
        await each.aclose()


async def test_what_was_learned_can_be_forgotten(server: RedisServer) -> None:
    server.flushall()
    limits, local = RedisLimits(server.url), LocalLimits()
    keys = [key_of("forgetful", model) for model in ("one", "other")]
    for key in (*keys, key_of("another", "one")):
        for kept in (limits, local):
            await kept.ask(key, {}, [("replied", 1)], [ONE])
    forget_limits(server.url, "forgetful")
    with redis.Redis.from_url(server.url) as client:
        assert not client.exists(*keys)
        assert client.exists(key_of("another", "one"))
    # The runner that knew the old state begins anew.
    assert (await limits.ask(keys[0], {}, [], [ONE])).slots[0].call == 1
    assert (await local.ask(keys[0], {}, [], [ONE])).slots[0].call == 1
    await limits.aclose()


def test_a_redis_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batches.limits.redis_limits.REDIS_PATIENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(OSError, match=r"."):
            forget_limits(f"redis://127.0.0.1:{port}/0", "forgetful")
        silent.accept()[0].close()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_name_of_a_state_tells_neither_model_nor_provider() -> None:
    assert key_of("7 url", "secret-model") == key_of("7 url", "secret-model")
    assert key_of("7 url", "secret-model") != key_of("8 url", "secret-model")
    assert "secret" not in key_of("7 secret-url", "secret-model")


@pytest.mark.parametrize(
    "url", ["filesystem://", "amqp://localhost", "sqs://", "", "redis+socket:///does/not/exist"]
)
def test_where_no_redis_is_the_limits_are_kept_in_the_process(url: str) -> None:
    assert isinstance(limits_at(url), LocalLimits)
