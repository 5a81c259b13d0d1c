"""When each call of a runner goes out: when the window has a place, the limits have one, and the
budget is not spent.

    enter --> window --> limits (rate_limits.py) --> the call --> leave
                ^            ^                                      |
                +------------+--- latency, refusals, headers, usage-+
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import TracebackType
from typing import Any

from batches.budget import Budget
from batches.engine.announced import AnnouncedLimits, RateEstimate
from batches.engine.errors import DeadlineExceeded, Overloaded, ProviderError, RateLimited
from batches.engine.pace import REPLIES_TO_BE_FREE, UNITS, Unit
from batches.engine.records import PreparedRequest, Reply, Usage
from batches.engine.window import AdaptiveWindow
from batches.rate_limits import Answer, Limits, News, RateLimits, key_of

Price = Callable[[str, Usage], Decimal | None]

CONGESTION = (RateLimited, Overloaded, DeadlineExceeded)

# How long each step of a window takes that opens although nothing has come back yet.
OPENING_S = 0.02
# Where nothing limits the calls, the limits are asked this often.
FREE_S = 0.1
# Who waits longer for a place looks again before using it: there may be a pause by then.
LONG_WAIT_S = 0.02
# Who waits without a place asks again at least this often.
LONGEST_SLEEP_S = 1.0
LOOK_AGAIN_S = 0.1
# An answer whose length nobody can tell yet, in tokens.
USUAL_ANSWER = 500.0
BYTES_PER_TOKEN = 4
# How fast the usual length of answers follows what comes.
LEARNING = 0.1


# Models that are told apart; a batch may name as many as it likes.
MOST_MODELS = 1000


@dataclass(slots=True)
class Turn:
    """A call on its way: what is booked for it, and since when it is."""

    request: PreparedRequest
    model: "_Model"
    tokens: float
    booked: bool = False
    epoch: int = 0
    entered_at: float = 0.0


@dataclass
class _Model:
    """What a runner knows of one model: news for the limits, and what its answers are like."""

    key: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    news: list[News] = field(default_factory=list)
    announced: dict[Unit, News] = field(default_factory=dict)
    estimates: dict[Unit, RateEstimate] = field(
        default_factory=lambda: {unit: RateEstimate() for unit in UNITS}
    )
    seen: dict[Unit, dict[str, float]] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    replies: int = 0
    unsaid_replies: int = 0
    free_until: float = 0.0
    free_calls: int = 0
    free_tokens: float = 0.0
    epoch: int = 0
    answer_mean: float | None = None
    answer_spread: float = 0.0

    def tokens_of(self, request: PreparedRequest) -> float:
        """What a call will cost in tokens, rather too many: the rest is given back."""
        answer = USUAL_ANSWER
        if self.answer_mean is not None:
            answer = self.answer_mean + self.answer_spread
        if request.endpoint == "/v1/embeddings":
            answer = 0.0
        elif request.max_output_tokens is not None:
            answer = min(answer, float(request.max_output_tokens))
        return len(request.content) / BYTES_PER_TOKEN + answer

    def answered(self, tokens: int) -> None:
        """Learn how long answers are; the first one alone says little of how they differ."""
        if self.answer_mean is None:
            self.answer_mean, self.answer_spread = float(tokens), tokens / 2
            return
        off = tokens - self.answer_mean
        self.answer_mean += LEARNING * off
        self.answer_spread += LEARNING * (abs(off) - self.answer_spread)

    def replied(self) -> None:
        self.replies += 1
        if self.replies <= REPLIES_TO_BE_FREE:
            self.unsaid_replies += 1

    def told(self) -> list[News]:
        """The news since the last time."""
        news, self.news = self.news, []
        news += self.announced.values()
        self.announced = {}
        if self.unsaid_replies:
            news.append(("replied", self.unsaid_replies))
            self.unsaid_replies = 0
        if self.free_calls:
            news.insert(0, ("sent", "requests", self.free_calls))
            news.insert(0, ("sent", "tokens", self.free_tokens))
            self.free_calls, self.free_tokens = 0, 0.0
        return news


class Governor:
    """Lets the calls of a runner out one by one; made and closed inside its event loop.

    `told` are the limits that staff have set, `provider` names whose they are. `price` tells what
    a reply of a model has cost.
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
        self.told: Limits = {}
        self._limits = limits
        self._provider = provider
        self._budget = budget or Budget(None, None)
        self._price = price or (lambda _model, _usage: None)
        self._models: dict[str, _Model] = {}
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opening: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()
        self._telling: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Governor":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell the last news."""
        self.close()
        await asyncio.gather(*map(self._tell, self._models.values()), *self._telling)
        await self._limits.aclose()

    def limit_to(self, cap: int) -> None:
        """Have no more calls in flight than so many from now on."""
        self.window.limit_to(cap)
        self._let_in()

    def share_with(self, processes: int) -> None:
        """Note how many processes call this provider, for when they cannot agree on a pace."""
        self._limits.sharers = max(processes, 1)

    async def enter(self, request: PreparedRequest) -> Turn:
        """Wait until a call may be made; at once, and with nothing booked, when closed."""
        await self._place_in_window()
        model = self._model(request.model)
        turn = Turn(request, model, model.tokens_of(request))
        try:
            # One lane at a time asks for a place, so that places are given in order.
            async with model.lock:
                await self._book(turn)
        except BaseException:
            self.drop(turn)
            raise
        turn.entered_at = time.monotonic()
        return turn

    def leave(self, turn: Turn, result: Reply | ProviderError, latency_s: float) -> None:
        """Take note of how a call went."""
        if not turn.booked:
            _take(turn)
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
            self._announced(turn.model, result.limits, latency_s)
        self._leave_window()

    def drop(self, turn: Turn) -> None:
        """Give a place back that was not used."""
        _give_back(turn)
        self._leave_window()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed.set()
        self._let_in()

    def announced(self) -> dict[str, Any]:
        """What the provider has announced, by model."""
        return {name: model.seen for name, model in self._models.items() if model.seen}

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

    def _congested(self, turn: Turn) -> None:
        now = time.monotonic()
        self.window.congested(sent_at=turn.entered_at, in_flight=self._inside, now=now)

    # -- the limits

    def _model(self, name: str) -> _Model:
        if name not in self._models:
            if len(self._models) >= MOST_MODELS:
                name = ""
            self._models.setdefault(name, _Model(key_of(self._provider, name)))
        return self._models[name]

    async def _book(self, turn: Turn) -> None:
        model = turn.model
        while not self._closed.is_set():
            if self._budget.is_spent():
                # Until somebody looks what the others have spent.
                await self._sleep(LOOK_AGAIN_S)
                continue
            if time.monotonic() < model.free_until:
                model.free_calls += 1
                model.free_tokens += turn.tokens
                turn.booked, turn.epoch = True, model.epoch
                return
            answer = await self._ask(model, {"requests": 1.0, "tokens": turn.tokens})
            slot = answer.slot
            turn.booked, turn.epoch = slot.booked, slot.epoch
            if slot.booked and await self._is_still_open(turn, slot.wait_s):
                model.free_until = time.monotonic() + FREE_S if slot.free else 0.0
                return
            if not slot.booked:
                await self._sleep(min(slot.wait_s, LONGEST_SLEEP_S))

    async def _is_still_open(self, turn: Turn, wait_s: float) -> bool:
        """Wait for a place that was booked; False, and it is given back, if there is a pause by
        then."""
        if wait_s > 0:
            await self._sleep(wait_s)
        if wait_s <= LONG_WAIT_S:
            return True
        paused_s = (await self._ask(turn.model, None)).paused_s
        if paused_s or self._closed.is_set():
            _give_back(turn)
        return not paused_s

    async def _ask(self, model: _Model, amounts: Mapping[Unit, float] | None) -> Answer:
        answer = await self._limits.ask(model.key, self.told, model.told(), amounts)
        model.limits, model.epoch = answer.limits, answer.slot.epoch
        return answer

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            pass

    # -- what comes back

    def _refused(self, turn: Turn, error: RateLimited) -> None:
        model = turn.model
        amount = 1.0 if error.unit == "requests" else turn.tokens
        pause_s = error.retry_after_s or 0.0
        model.free_until = 0.0
        if error.unit == "requests":
            # Nothing was read, so no token was used up.
            model.news.append(("give_back", "tokens", turn.tokens, turn.epoch))
        model.news.append(("refused", error.unit, amount, turn.epoch, pause_s))
        # At once: other workers are to pause too.
        task = asyncio.create_task(self._tell(model))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, model: _Model) -> None:
        if model.news or model.announced or model.unsaid_replies or model.free_calls:
            await self._ask(model, None)

    def _settle(self, turn: Turn, reply: Reply) -> None:
        """Give back the tokens that were reserved and not used."""
        used = reply.usage.input_tokens + reply.usage.output_tokens
        if not used:
            return
        turn.model.answered(reply.usage.output_tokens)
        if "tokens" in turn.model.limits:
            turn.model.news.append(("give_back", "tokens", turn.tokens - used, turn.epoch))

    def _spend(self, request: PreparedRequest, reply: Reply) -> None:
        tokens = reply.usage.input_tokens + reply.usage.output_tokens
        self._budget.spend(tokens, self._price(request.model, reply.usage))

    def _announced(self, model: _Model, limits: AnnouncedLimits, latency_s: float) -> None:
        for unit, announced in limits.items():
            known = model.estimates[unit].observe(announced)
            model.seen[unit] = {"limit": announced.limit, "remaining": announced.remaining}
            if known is None:
                continue
            model.seen[unit]["per_minute"] = round(60 * known.rate, 3)
            left = announced.remaining + 1 + known.rate * latency_s
            model.announced[unit] = ("announce", unit, known.rate, known.burst, left)


def _give_back(turn: Turn) -> None:
    """Tell the limits that what was booked for a call is not used."""
    if turn.booked:
        turn.booked = False
        _note(turn, 1.0)


def _take(turn: Turn) -> None:
    """Tell the limits of a call that was made although nothing could be booked for it."""
    turn.booked, turn.epoch = True, turn.model.epoch
    _note(turn, -1.0)


def _note(turn: Turn, share: float) -> None:
    turn.model.news += [
        ("give_back", "requests", share, turn.epoch),
        ("give_back", "tokens", share * turn.tokens, turn.epoch),
    ]


def share_of(cap: int, max_in_flight: int | None, runners: int, rank: int) -> int:
    """The cap of the runner of this rank (from 0), where so many together have a limit.

    The shares of all of them add up to the limit; where there are more runners than calls, some
    have none.
    """
    if max_in_flight is None:
        return cap
    share, left = divmod(max_in_flight, max(runners, 1))
    return min(cap, share + (rank < left))


def rank_of(slot: int, priorities: Mapping[int, int], turn: int) -> int:
    """The rank (from 0) of the runner in a slot, among those in all slots with their priorities.

    The highest priority comes first, and those of one priority change places in each turn: the
    last may have no share at all.
    """
    if slot not in priorities:
        return len(priorities)
    mine = priorities[slot]
    equals = [other for other, priority in priorities.items() if priority == mine]
    before = sum(priority > mine for priority in priorities.values())
    return before + (equals.index(slot) + turn) % len(equals)
