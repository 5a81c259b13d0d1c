"""When each call of a runner goes out, with the limits of a process of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count

import pytest

from batches.engine.errors import Overloaded, RateLimited, ServerError
from batches.engine.rates.announced import announced_limits
from batches.engine.rates.window import SMALL
from batches.engine.records import PreparedRequest, Usage
from batches.limits.budget import Budget
from batches.limits.limiter import MOST_MODELS, RateLimiter, rank_of, share_of
from batches.limits.model_calls import CallTurn
from batches.limits.rate_limits import Admission, LocalLimits, per_minute
from tests.engine.makers import reply, request
from tests.virtual_time import virtually
from tests.waiting import eventually

_providers = count()


@asynccontextmanager
async def limiter(cap: int = 4, budget: Budget | None = None) -> AsyncIterator[RateLimiter]:
    """Yield the only limiter of a provider."""
    name = f"provider {next(_providers)} of these tests"
    price = None if budget is None else (lambda _model, _usage: Decimal(1))
    async with RateLimiter(
        LocalLimits(), provider=name, cap=cap, budget=budget, price=price
    ) as made:
        yield made


class Lanes:
    """Calls that wait for their turn, and those that were let out."""

    def __init__(self, limiter: RateLimiter, requests: Iterable[PreparedRequest]) -> None:
        self.out: list[int] = []
        self.turns: dict[int, CallTurn] = {}
        self._limiter = limiter
        self.tasks = [asyncio.create_task(self._enter(each)) for each in requests]

    async def _enter(self, of: PreparedRequest) -> None:
        self.turns[of.index] = await self._limiter.enter(of)
        self.out.append(of.index)

    async def settle(self, calls: int) -> list[int]:
        """Those that are out when so many are, and a moment later."""
        await eventually(lambda: len(self.out) >= calls)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.out

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def known(limiter: RateLimiter) -> Admission:
    """What the limits say, without asking for a place."""
    model = limiter._model("")
    return await limiter._ask(model, [])


async def test_no_more_calls_go_out_than_the_window_has_places() -> None:
    async with limiter(cap=3) as it:
        lanes = Lanes(it, map(request, range(10)))
        assert await lanes.settle(3) == [0, 1, 2]
        it.leave(lanes.turns[1], reply(), 0.1)
        assert await lanes.settle(4) == [0, 1, 2, 3]
        await lanes.end()


async def test_a_window_whose_calls_take_long_opens_to_its_cap_all_the_same() -> None:
    cap = 3 * SMALL
    async with limiter(cap=cap) as it:
        lanes = Lanes(it, map(request, range(2 * cap)))
        assert await lanes.settle(cap) == list(range(cap))
        await lanes.end()


async def test_nobody_goes_out_while_there_is_a_pause() -> None:
    async with limiter() as it:
        for index in range(5):
            refusal = RateLimited("slow", retry_after_s=3600.0)
            it.leave(await it.enter(request(index)), refusal, 0.1)
            await asyncio.gather(*it._telling)
        lanes = Lanes(it, [request(6)])
        await eventually(lambda: any(held.wait_s for held in it.held()))
        assert lanes.out == []
        assert (await known(it)).paused_s > 3000
        (held,) = it.held()
        assert held.reason == "the provider asked to wait"
        assert held.wait_s > 3000
        assert held.limits["requests"].source == "learned"
        it.close()
        assert await lanes.settle(1) == [6]


async def test_a_refusal_alone_holds_nobody_else_up() -> None:
    async with limiter(cap=20) as it:
        it.leave(await it.enter(request(0)), RateLimited("slow", retry_after_s=3600.0), 0.1)
        lanes = Lanes(it, map(request, range(1, 20)))
        await lanes.settle(19)
        assert it.window.size >= 10
        assert it.held() == []


async def test_what_holds_calls_is_told_in_words() -> None:
    async with limiter() as it:
        it.keep_to(per_minute(60, None))
        lanes = Lanes(it, map(request, range(4)))
        await lanes.settle(1)
        await eventually(lambda: bool(it.held()) and it.held()[0].wait_s > 0)
        assert it.held()[0].reason == "held to 1/s, configured on the provider"
        await lanes.end()


async def test_whoever_waits_when_it_closes_waits_no_more() -> None:
    async with limiter(cap=1) as it:
        lanes = Lanes(it, map(request, range(5)))
        await lanes.settle(1)
        it.close()
        assert sorted(await lanes.settle(5)) == [0, 1, 2, 3, 4]


async def test_a_place_that_was_given_up_is_given_to_the_next() -> None:
    async with limiter(cap=1) as it:
        lanes = Lanes(it, map(request, range(3)))
        await lanes.settle(1)
        lanes.tasks[1].cancel()
        it.drop(lanes.turns[0])
        assert await lanes.settle(2) == [0, 2]
        await lanes.end()


async def test_refusals_that_go_on_cut_the_window_and_faults_of_the_server_do_not() -> None:
    async with limiter(cap=8) as it:
        for index in range(8):
            it.leave(await it.enter(request(index)), ServerError("broken"), 0.1)
        assert it.window.size == 8
        for index in range(8, 16):
            it.leave(await it.enter(request(index)), Overloaded("slow down"), 0.1)
        assert it.window.size < 8


@virtually
async def test_tokens_that_were_reserved_and_not_used_are_given_back() -> None:
    async with limiter() as it:
        it.keep_to(per_minute(None, 600_000))
        big = request(0, content=b"x" * 4 * 9_000)
        used = reply(usage=Usage(input_tokens=10, output_tokens=5))
        it.leave(await it.enter(big), used, 0.1)
        # Nine thousand of 9,500 were taken: without them back this would wait most of a second.
        (slot,) = (await it._ask(it._model(""), [{"requests": 1.0, "tokens": 9_000.0}])).slots
        assert slot.booked
        assert slot.wait_s <= 0.0


async def test_how_much_an_answer_takes_is_learned_from_the_first_one_on() -> None:
    async with limiter() as it:
        answer = reply(usage=Usage(input_tokens=1, output_tokens=10))
        it.leave(await it.enter(request(0, content=b"")), answer, 0.1)
        assert it._model("").tokens_of(request(1, content=b"")) == 15
        assert it._model("").tokens_of(request(1, content=b"", max_output_tokens=12)) == 12
        for index in range(2, 50):
            turn = await it.enter(request(index, content=b""))
            it.leave(turn, answer, 0.1)
        assert it._model("").tokens_of(request(1, content=b"")) == pytest.approx(10, abs=0.1)


async def test_what_a_provider_announces_is_kept_to_and_shown() -> None:
    async with limiter() as it:
        headers = {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "99",
            "x-ratelimit-reset-requests": "2s",
        }
        it.leave(await it.enter(request(0)), reply(limits=announced_limits(headers)), 0.1)
        assert (await known(it)).limits["requests"].burst == 100
        assert it.announced()[""]["requests"]["limit"] == 100


@pytest.mark.parametrize(
    "budget", [Budget(10, None), Budget(None, Decimal(1))], ids=["tokens", "dollars"]
)
async def test_when_its_share_of_the_budget_is_spent_no_call_is_begun(budget: Budget) -> None:
    async with limiter(budget=budget) as it:
        it.leave(await it.enter(request(0)), reply(), 0.1)
        lanes = Lanes(it, [request(1)])
        await eventually(lambda: it._models[""].asker is not None)
        assert lanes.out == []
        it.close()
        await lanes.settle(1)


@virtually
async def test_what_was_never_booked_is_not_given_back() -> None:
    async with limiter(cap=50) as it:
        it.keep_to(per_minute(60, None))
        lanes = Lanes(it, map(request, range(50)))
        await lanes.settle(1)
        it.close()
        await lanes.settle(50)
        (before,) = (await it._ask(it._model(""), [{"requests": 1.0, "tokens": 0.0}])).slots
        # All but those that were let out before it closed had no place, or gave it back already.
        for turn in lanes.turns.values():
            if not turn.booked:
                it.drop(turn)
        (after,) = (await it._ask(it._model(""), [{"requests": 1.0, "tokens": 0.0}])).slots
        assert after.wait_s >= before.wait_s


@virtually
async def test_a_call_that_is_made_after_the_end_counts_all_the_same() -> None:
    async with limiter() as it:
        it.keep_to(per_minute(60, None))
        it.close()
        turn = await it.enter(request(0))
        assert not turn.booked
        it.leave(turn, reply(), 0.1)
        (first,) = (await it._ask(it._model(""), [{"requests": 1.0, "tokens": 0.0}])).slots
        (second,) = (await it._ask(it._model(""), [{"requests": 1.0, "tokens": 0.0}])).slots
        assert second.wait_s > max(first.wait_s, 0.0)
        assert first.wait_s > 0.5


async def test_a_cap_that_was_nothing_lets_calls_out_when_it_grows() -> None:
    async with limiter(cap=4) as it:
        it.limit_to(0)
        lanes = Lanes(it, map(request, range(6)))
        await asyncio.sleep(0)
        assert lanes.out == []
        it.limit_to(2)
        assert await lanes.settle(2) == [0, 1]
        await lanes.end()


async def test_a_batch_that_names_a_model_a_prompt_does_not_fill_the_memory() -> None:
    async with limiter() as it:
        for index in range(MOST_MODELS + 10):
            it._model(f"model {index}")
        assert len(it._models) == MOST_MODELS + 1


@pytest.mark.parametrize(
    ("cap", "most", "shares"),
    [
        (10, None, [10, 10]),
        (10, 20, [5, 5, 5, 5]),
        (10, 3, [1, 1, 1, 0]),
        (10, 100, [10]),
        (10, 8, [8]),
        (10, 7, [4, 3]),
    ],
)
def test_calls_at_once_are_shared_among_the_runners(
    cap: int, most: int | None, shares: list[int]
) -> None:
    ranks = range(len(shares))
    assert [share_of(cap, most, len(shares), rank) for rank in ranks] == shares


def test_of_one_priority_each_is_first_in_its_turn_and_the_lower_ones_never_are() -> None:
    priorities = {1: 0, 2: 5, 3: 5, 4: 0}
    ranks = [[rank_of(slot, priorities, turn) for slot in priorities] for turn in range(2)]
    assert ranks == [[2, 0, 1, 3], [3, 1, 0, 2]]
    assert rank_of(9, priorities, 0) == 4
