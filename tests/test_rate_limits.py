"""Limits are shared by all processes, in Redis; the script there keeps the engine's rules."""

import asyncio
import json
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batches.engine.pace import UNITS, Limit, Pace, Unit
from batches.rate_limits import (
    SCRIPT,
    Answer,
    LocalLimits,
    News,
    RedisLimits,
    answer_of,
    apply,
    key_of,
    limits_at,
    per_minute,
)
from tests.servers import RedisServer
from tests.waiting import eventually

ONE: dict[Unit, float] = {"requests": 1, "tokens": 0}


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


AMOUNTS = st.floats(0, 5000).map(lambda amount: round(amount, 3))
UNIT = st.sampled_from(UNITS)
NEWS: st.SearchStrategy[News] = st.one_of(
    st.tuples(st.just("sent"), UNIT, AMOUNTS),
    st.tuples(st.just("give_back"), UNIT, st.floats(-500, 500), st.integers(0, 3)),
    st.tuples(st.just("replied"), st.integers(1, 600)),
    st.tuples(
        st.just("refused"), UNIT, st.floats(1, 100), st.integers(0, 3), st.sampled_from([0.0, 0.7])
    ),
    st.tuples(
        st.just("announce"), UNIT, st.floats(0.01, 500), st.floats(1, 5000), st.floats(0, 5000)
    ),
)
TOLD = st.dictionaries(UNIT, st.builds(Limit, st.floats(0.01, 500), st.floats(1, 5000)))
STEP = st.tuples(
    st.floats(0.0, 30.0),
    st.lists(NEWS, max_size=3),
    st.none() | st.fixed_dictionaries({"requests": st.just(1.0), "tokens": AMOUNTS}),
)


def in_redis(
    client: redis.Redis, told: dict[Unit, Limit], step: tuple[float, list[News], object], now: float
) -> Answer:
    asked = {
        "told": {unit: [limit.rate, limit.burst] for unit, limit in told.items()},
        "news": step[1],
        "reserve": step[2],
        "now": now,
    }
    raw = client.eval(SCRIPT, 1, "compared", json.dumps(asked))
    assert isinstance(raw, bytes)
    return answer_of(raw)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=TOLD, steps=st.lists(STEP, min_size=1, max_size=25))
def test_the_script_and_the_engine_always_say_the_same(
    server: RedisServer,
    told: dict[Unit, Limit],
    steps: list[tuple[float, list[News], dict[Unit, float] | None]],
) -> None:
    pace, now = Pace(), 1_800_000_000.0
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        for step in steps:
            now += step[0]
            ours = apply(pace, told, step[1], step[2], now)
            theirs = in_redis(client, told, step, now)
            assert theirs.slot.booked == ours.slot.booked
            assert theirs.slot.free == ours.slot.free
            assert theirs.slot.epoch == ours.slot.epoch
            assert theirs.slot.wait_s == pytest.approx(ours.slot.wait_s, rel=1e-6, abs=1e-5)
            assert theirs.paused_s == pytest.approx(ours.paused_s, abs=1e-5)
            assert theirs.limits.keys() == ours.limits.keys()
            for unit, limit in ours.limits.items():
                assert theirs.limits[unit].rate == pytest.approx(limit.rate, rel=1e-6)
                assert theirs.limits[unit].burst == pytest.approx(limit.burst, rel=1e-6)


def redis_time(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


async def admit(limits: RedisLimits, told: dict[Unit, Limit], until: asyncio.Event) -> int:
    """Take places as fast as they are given; how many there were, all of them due by then."""
    taken = 0
    while not until.is_set():
        answer = await limits.ask("key", told, [], ONE)
        await asyncio.sleep(max(answer.slot.wait_s, 0.0))
        taken += answer.slot.booked
    return taken


async def test_four_who_share_a_limit_get_no_more_than_it_by_the_clock_of_redis(
    server: RedisServer,
) -> None:
    server.flushall()
    told = per_minute(6000, None)
    sharers = [RedisLimits(server.url) for _ in range(4)]
    enough = asyncio.Event()
    with redis.Redis.from_url(server.url) as client:
        began = redis_time(client)
        tasks = [asyncio.create_task(admit(limits, told, enough)) for limits in sharers]
        await eventually(lambda: redis_time(client) >= began + 2.0)
        enough.set()
        taken = sum(await asyncio.gather(*tasks))
        took = redis_time(client) - began
    for limits in sharers:
        await limits.aclose()
    most = told["requests"].burst + told["requests"].rate * took
    # Each of the four may have one place more, which was booked and is not due yet.
    assert 150 < taken <= most + 4


async def test_a_pause_holds_for_all_at_once(server: RedisServer) -> None:
    server.flushall()
    one, other = RedisLimits(server.url), RedisLimits(server.url)
    assert (await one.ask("key", {}, [], ONE)).slot.booked
    await one.ask("key", {}, [("refused", "requests", 1, 0, 60.0)], None)
    answer = await other.ask("key", {}, [], ONE)
    assert not answer.slot.booked
    assert 50 < answer.slot.wait_s <= 60
    assert (await other.ask("another", {}, [], ONE)).slot.booked
    await one.aclose()
    await other.aclose()


async def test_without_redis_each_process_keeps_to_its_share() -> None:
    limits = LocalLimits()
    limits.sharers = 4
    told = per_minute(60 * 400, None)
    booked = [await limits.ask("share", told, [], ONE) for _ in range(100)]
    assert booked[0].limits["requests"].rate == pytest.approx(100.0)
    # 95 at once, the others in their turn.
    assert 0.0 < booked[-1].slot.wait_s <= 0.05


@pytest.mark.parametrize("fault", ["killed", "silent"])
async def test_with_redis_gone_the_last_limit_is_shared_and_never_none(fault: str) -> None:
    with RedisServer() as server:
        limits = RedisLimits(server.url)
        limits.sharers = 2
        announced: News = ("announce", "requests", 10.0, 20.0, 20.0)
        known = await limits.ask(f"gone {fault}", {}, [announced], ONE)
        assert known.limits["requests"] == Limit(10.0, 20.0)
        server.kill() if fault == "killed" else server.pause()
        waits = [(await limits.ask(f"gone {fault}", {}, [], ONE)).slot.wait_s for _ in range(31)]
        # Ten at once, then five a second.
        assert waits[:9] == [0.0] * 9 or max(waits[:9]) <= 0
        assert 3.0 < waits[-1] <= 4.2
        await limits.aclose()
        server.resume() if fault == "silent" else None


async def test_redis_is_asked_again_when_it_is_back(server: RedisServer) -> None:
    server.flushall()
    limits = RedisLimits(server.url)
    limits._away_until = float("inf")
    assert (await limits.ask("back", per_minute(60, None), [], ONE)).slot.booked
    with redis.Redis.from_url(server.url) as client:
        assert not client.exists("back")
        limits._away_until = 0.0
        await limits.ask("back", per_minute(60, None), [], ONE)
        assert client.exists("back")
        assert 0 < client.ttl("back") <= 3600
    await limits.aclose()


def test_the_name_of_a_state_tells_neither_model_nor_provider() -> None:
    assert key_of("7 url", "secret-model") == key_of("7 url", "secret-model")
    assert key_of("7 url", "secret-model") != key_of("8 url", "secret-model")
    assert "secret" not in key_of("7 secret-url", "secret-model")


@pytest.mark.parametrize(
    "url", ["filesystem://", "amqp://localhost", "sqs://", "", "redis+socket:///does/not/exist"]
)
def test_where_no_redis_is_the_limits_are_kept_in_the_process(url: str) -> None:
    assert isinstance(limits_at(url), LocalLimits)
