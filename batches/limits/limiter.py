"""Decide when each call of a runner is sent: when the window has a place, the limits have a place,
and the budget is not spent.

    enter --> window --> limits (rate_limits.py) --> the call --> leave
                ^            ^                                      |
                +------------+--- latency, refusals, headers, usage-+
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any

from batches.engine.errors import DeadlineExceeded, Overloaded, ProviderError, RateLimited
from batches.engine.rates.announced import AnnouncedLimits
from batches.engine.rates.pace import Reservation
from batches.engine.rates.pace_rules import RULES
from batches.engine.rates.window import AdaptiveWindow
from batches.engine.records import PreparedRequest, Reply, Usage
from batches.limits.budget import Budget
from batches.limits.model_calls import (
    CallTurn,
    Held,
    ModelCalls,
    Waiter,
    give_back,
    held_by,
    moment,
    put_back,
    release,
    release_all,
    take,
)
from batches.limits.rate_limits import Admission, Amounts, Limits, RateLimits, key_of

Price = Callable[[str, Usage], Decimal | None]

CONGESTION = (RateLimited, Overloaded, DeadlineExceeded)

# Seconds between two steps in which a window opens before the first answer.
OPENING_S = 0.02
# Seconds between two requests to the limits while nothing limits the calls.
FREE_S = 0.1
# For a place further ahead than this, check again for a pause before sending.
LONG_WAIT_S = 2 * RULES.ahead_s
# The most calls in one request for places.
MOST_ASKED = 50
# A runner without a place asks again at least this often.
LONGEST_SLEEP_S = 1.0
LOOK_AGAIN_S = 0.1


# The most models with a state of their own; a batch may name more.
MOST_MODELS = 1000


class RateLimiter:
    """Release the calls of a runner one by one; created and closed inside its event loop.

    `provider` identifies the provider of the limits. `price` returns the cost of a reply of a
    model.
    """

    def __init__(
        self,
        limits: RateLimits,
        *,
        provider: str,
        cap: int,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        self.window = AdaptiveWindow(cap)
        self._configured: Limits = {}
        self._limits = limits
        self._provider = provider
        self._budget = budget or Budget(None, None)
        self._price = price or (lambda _model, _usage: None)
        self._models: dict[str, ModelCalls] = {}
        self._inside = 0
        self._entered = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opening: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        self._telling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "RateLimiter":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send the last news to the limits."""
        self.close()
        askers = [model.asker for model in self._models.values() if model.asker]
        await asyncio.gather(*askers, return_exceptions=True)
        await asyncio.gather(*map(self._tell, self._models.values()), *self._telling)
        await self._limits.aclose()

    def keep_to(self, limits: Limits) -> None:
        """Keep to the limits that staff have configured, from now on."""
        self._configured = limits

    def limit_to(self, cap: int) -> None:
        """Allow at most `cap` calls in flight from now on."""
        self.window.limit_to(cap)
        self._let_in()

    def share_with(self, processes: int) -> None:
        """Set the number of processes at this provider, used when they cannot share a state."""
        self._limits.sharers = max(processes, 1)

    async def enter(self, request: PreparedRequest) -> CallTurn:
        """Wait until a call may be made. When closed, return at once, without a booking."""
        await self._place_in_window()
        model = self._model(request.model)
        turn = CallTurn(request, model, model.tokens_of(request))
        try:
            await self._book(turn)
        except BaseException:
            self.drop(turn)
            raise
        self._entered += 1
        turn.number, turn.entered_at = self._entered, moment()
        return turn

    def leave(self, turn: CallTurn, result: Reply | ProviderError, latency_s: float) -> None:
        """Record the result of a call."""
        if not turn.booked:
            take(turn)
        if isinstance(result, RateLimited):
            self._refused(turn, result)
        else:
            turn.model.replied()
        if isinstance(result, CONGESTION):
            self._congested(turn)
        if isinstance(result, Reply):
            self.window.succeeded(latency_s)
            self._settle(turn, result)
            self._spend(turn.request, result)
        if result.limits:
            self._announced(turn.model, result, result.limits, latency_s)
        self._leave_window()

    def drop(self, turn: CallTurn) -> None:
        """Return a place that was not used."""
        give_back(turn)
        self._leave_window()

    def close(self) -> None:
        """Release all waiting calls, now and in the future."""
        self._closed.set()
        self._let_in()
        for model in self._models.values():
            release_all(model)

    def announced(self) -> dict[str, Any]:
        """Return the advertised and learned limits of the provider, by model."""
        shown = {name: model.shown() for name, model in self._models.items()}
        return {name: limits for name, limits in shown.items() if limits}

    def held(self) -> list[Held]:
        """Return the current limits of each model that is limited or held."""
        now = moment()
        return [
            held_by(name, model, now)
            for name, model in self._models.items()
            if model.limits or model.held_until > now
        ]

    # -- the window

    async def _place_in_window(self) -> None:
        if self._closed.is_set() or (self._inside < self.window.size and not self._waiting):
            self._inside += 1
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._opening is None:
            self._open_later()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._leave_window()
            raise

    def _open_later(self) -> None:
        self._opening = None
        if self.window.is_opening and self._waiting:
            self._opening = asyncio.get_running_loop().call_later(OPENING_S, self._open_window)

    def _open_window(self) -> None:
        if self.window.is_opening:
            self.window.open()
            self._let_in()
        self._open_later()

    def _leave_window(self) -> None:
        self._inside -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and (self._closed.is_set() or self._inside < self.window.size):
            waiter = self._waiting.popleft()
            if not waiter.done():
                self._inside += 1
                waiter.set_result(None)

    def _congested(self, turn: CallTurn) -> None:
        self.window.congested(
            turn.number, newest=self._entered, in_flight=self._inside, now=moment()
        )

    # -- the limits

    def _model(self, name: str) -> ModelCalls:
        if name not in self._models:
            if len(self._models) >= MOST_MODELS:
                name = ""
            self._models.setdefault(name, ModelCalls(key_of(self._provider, name)))
        return self._models[name]

    async def _book(self, turn: CallTurn) -> None:
        """Wait for a place. One task asks for all waiting calls, so that their order is kept."""
        if self._closed.is_set():
            return
        model = turn.model
        waiter = Waiter(turn, asyncio.get_running_loop().create_future())
        model.waiting.append(waiter)
        if model.asker is None:
            model.asker = asyncio.create_task(self._serve(model))
        await waiter.future

    async def _serve(self, model: ModelCalls) -> None:
        """Ask for places until no call waits; a failure is raised in the waiting calls."""
        try:
            while model.waiting and not self._closed.is_set():
                if self._budget.is_spent():
                    # Wait for the next read of what the other runners have spent.
                    await self._sleep(LOOK_AGAIN_S)
                elif moment() < model.free_until:
                    self._let_out_freely(model)
                else:
                    await self._serve_some(model)
        except Exception as error:
            while model.waiting:
                future = model.waiting.popleft().future
                if not future.done():
                    future.set_exception(error)
        finally:
            model.asker = None

    def _let_out_freely(self, model: ModelCalls) -> None:
        while model.waiting:
            waiter = model.waiting.popleft()
            if not waiter.future.done():
                model.free_calls += 1
                model.free_tokens += waiter.turn.tokens
                waiter.turn.booked, waiter.turn.call = True, 0
                waiter.future.set_result(None)

    async def _serve_some(self, model: ModelCalls) -> None:
        """Ask once; release each call that got a place when its place is due."""
        while model.waiting and model.waiting[0].future.done():
            model.waiting.popleft()
        asking = list(islice(model.waiting, MOST_ASKED))
        calls: list[Amounts] = [{"requests": 1.0, "tokens": each.turn.tokens} for each in asking]
        answer = await self._ask(model, calls)
        for waiter, slot in zip(asking, answer.slots, strict=False):
            if self._closed.is_set():
                put_back(model, waiter.turn.tokens, slot)
                continue
            model.reason, model.held_until = slot.reason, moment() + slot.wait_s
            if not slot.booked:
                await self._sleep(min(slot.wait_s, LONGEST_SLEEP_S))
                continue
            model.waiting.popleft()
            if slot.wait_s > LONG_WAIT_S:
                await self._let_out_late(model, waiter, slot)
                return
            self._let_out(model, waiter, slot)
        if model.due and not self._closed.is_set():
            # Later places are due later than this one.
            await self._sleep(max(answer.slots[-1].wait_s - RULES.ahead_s / 2, 0.0))

    def _let_out(self, model: ModelCalls, waiter: Waiter, slot: Reservation) -> None:
        """Release a call when its place is due."""
        turn, future = waiter.turn, waiter.future
        turn.booked, turn.call = True, slot.call
        if future.done():
            give_back(turn)
        elif slot.wait_s <= 0:
            future.set_result(None)
        else:
            model.due.add(future)
            asyncio.get_running_loop().call_later(slot.wait_s, release, model, future)

    async def _let_out_late(self, model: ModelCalls, waiter: Waiter, slot: Reservation) -> None:
        """Wait for a place that is far ahead; give it back if there is a pause meanwhile."""
        waiter.turn.booked, waiter.turn.call = True, slot.call
        model.due.add(waiter.future)
        await self._sleep(slot.wait_s)
        if not self._closed.is_set() and (await self._ask(model, [])).paused_s:
            give_back(waiter.turn)
            model.due.discard(waiter.future)
            model.waiting.appendleft(waiter)
        elif waiter.future.done():
            give_back(waiter.turn)
        else:
            release(model, waiter.future)

    async def _ask(self, model: ModelCalls, calls: Sequence[Amounts]) -> Admission:
        answer = await self._limits.ask(model.key, self._configured, model.take_news(), calls)
        model.limits, model.last_call = answer.limits, answer.calls
        model.free_until = moment() + FREE_S if answer.free else 0.0
        return answer

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            pass

    # -- what comes back

    def _refused(self, turn: CallTurn, error: RateLimited) -> None:
        model = turn.model
        amount = 1.0 if error.unit == "requests" else turn.tokens
        pause_s = error.retry_after_s or 0.0
        if error.unit == "requests":
            # The request was not processed, so no token was used.
            model.news.append(("give_back", "tokens", turn.tokens, turn.call))
        model.news.append(("refused", error.unit, amount, turn.call, pause_s))
        # Send it at once, so that other workers pause too.
        task = asyncio.create_task(self._tell(model))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, model: ModelCalls) -> None:
        if model.news or model.announced or model.unsaid_replies or model.free_calls:
            await self._ask(model, [])

    def _settle(self, turn: CallTurn, reply: Reply) -> None:
        """Return the reserved tokens that were not used."""
        used = reply.usage.input_tokens + reply.usage.output_tokens
        if not used:
            return
        turn.model.answered(reply.usage.output_tokens)
        if "tokens" in turn.model.limits:
            turn.model.news.append(("give_back", "tokens", turn.tokens - used, turn.call))

    def _spend(self, request: PreparedRequest, reply: Reply) -> None:
        tokens = reply.usage.input_tokens + reply.usage.output_tokens
        self._budget.spend(tokens, self._price(request.model, reply.usage))

    def _announced(
        self,
        model: ModelCalls,
        result: Reply | ProviderError,
        limits: AnnouncedLimits,
        latency_s: float,
    ) -> None:
        now = moment()
        retry_after_s = result.retry_after_s if isinstance(result, RateLimited) else None
        for unit, announced in limits.items():
            known = model.readers[unit].observe(
                announced, sent_at=now - latency_s, now=now, retry_after_s=retry_after_s or 0.0
            )
            model.seen[unit] = {"limit": announced.limit, "remaining": announced.remaining}
            if known is not None:
                model.announced[unit] = (now, known)
                model.seen[unit]["per_minute"] = round(60 * known.per_second, 3)


def share_of(cap: int, max_in_flight: int | None, runners: int, rank: int) -> int:
    """Return the cap of the runner with this rank (from 0), if the runners share a limit.

    The shares of all runners add up to the limit; with more runners than calls, some get none.
    """
    if max_in_flight is None:
        return cap
    share, left = divmod(max_in_flight, max(runners, 1))
    return min(cap, share + (rank < left))


def rank_of(slot: int, priorities: Mapping[int, int], turn: int) -> int:
    """Return the rank (from 0) of the runner in a slot, among all slots with their priorities.

    The highest priority comes first. Runners of the same priority swap ranks in each turn, since
    the last ranks may get no share at all.
    """
    if slot not in priorities:
        return len(priorities)
    mine = priorities[slot]
    equals = [other for other, priority in priorities.items() if priority == mine]
    before = sum(priority > mine for priority in priorities.values())
    return before + (equals.index(slot) + turn) % len(equals)
