"""The state of a runner for one model: waiting calls, and unsent news for the rate limits."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from batches.engine.endpoints import rules_of
from batches.engine.rates.pace import Reservation
from batches.engine.rates.pace_rules import RULES, UNITS, Bucket, Source, Unit, Window
from batches.engine.rates.reset_meaning import LimitReader
from batches.engine.records import PreparedRequest
from batches.engine.text.volume import tokens_read
from batches.limits.rate_limits import Limits, News

# The assumed length of an answer before any was received, in tokens.
USUAL_ANSWER = 500.0
BYTES_PER_TOKEN = 4
LARGE_REQUEST_BYTES = 128 * 1024
# The weight of a new answer in the average length.
LEARNING = 0.1


@dataclass(slots=True)
class CallTurn:
    """A call that waits or is in flight, with its booking and start time.

    `number` counts the calls of this runner; `call` counts the calls of all runners (0: the call
    was sent without asking the limits).
    """

    request: PreparedRequest
    model: "ModelCalls"
    tokens: float
    number: int = 0
    booked: bool = False
    call: int = 0
    entered_at: float = 0.0


@dataclass(slots=True)
class Waiter:
    """A call that waits for a place in the limits."""

    turn: CallTurn
    future: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Held:
    """The current limits of one model, and the wait of the next call."""

    model: str
    limits: Limits
    reason: str = ""
    wait_s: float = 0.0


@dataclass
class ModelCalls:
    """The state for one model: news for the limits, and the usual length of answers."""

    key: str
    # Calls that wait for a place; and calls that have a place and wait until it is due.
    waiting: deque["Waiter"] = field(default_factory=deque)
    due: set[asyncio.Future[None]] = field(default_factory=set)
    asker: asyncio.Task[None] | None = None
    news: list[News] = field(default_factory=list)
    announced: dict[Unit, tuple[float, Bucket | Window]] = field(default_factory=dict)
    readers: dict[Unit, LimitReader] = field(
        default_factory=lambda: {unit: LimitReader() for unit in UNITS}
    )
    seen: dict[Unit, dict[str, float]] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    replies: int = 0
    unsaid_replies: int = 0
    free_until: float = 0.0
    free_calls: int = 0
    free_tokens: float = 0.0
    last_call: int = 0
    reason: str = ""
    held_until: float = 0.0
    answer_mean: float | None = None
    answer_spread: float = 0.0

    def tokens_of(self, request: PreparedRequest) -> float:
        """Return a generous estimate of a call's tokens; unused tokens are given back."""
        answer = USUAL_ANSWER
        if self.answer_mean is not None:
            answer = self.answer_mean + self.answer_spread
        if not rules_of(request.endpoint).answers_in_text:
            answer = 0.0
        elif request.max_output_tokens is not None:
            answer = min(answer, float(request.max_output_tokens))
        return _tokens_asked(request) + answer

    def answered(self, tokens: int) -> None:
        """Update the average length of answers, and their spread."""
        if self.answer_mean is None:
            self.answer_mean, self.answer_spread = float(tokens), tokens / 2
            return
        off = tokens - self.answer_mean
        self.answer_mean += LEARNING * off
        self.answer_spread += LEARNING * (abs(off) - self.answer_spread)

    def replied(self) -> None:
        self.replies += 1
        if self.replies <= RULES.replies_to_be_free:
            self.unsaid_replies += 1

    def take_news(self) -> list[News]:
        """Return the news since the last time."""
        news: list[News] = []
        if self.free_calls:
            news.append(("sent", self.free_calls, self.free_tokens))
            self.free_calls, self.free_tokens = 0, 0.0
        news += [said(unit, known, moment() - at) for unit, (at, known) in self.announced.items()]
        news += self.news
        self.announced, self.news = {}, []
        if self.unsaid_replies:
            news.append(("replied", self.unsaid_replies))
            self.unsaid_replies = 0
        return news

    def shown(self) -> dict[str, dict[str, float]]:
        """Return what was advertised and learned, for display."""
        found = {str(unit): dict(seen) for unit, seen in self.seen.items()}
        for unit, limit in self.limits.items():
            if limit.source == "learned":
                learned = float(f"{60 * limit.rate:.2g}")
                found.setdefault(unit, {})["learned_per_minute"] = learned
        return found


def _tokens_asked(request: PreparedRequest) -> float:
    """Return the estimated tokens of a request.

    For a large request only its texts count, since an image in it may have as many bytes as a book.
    """
    size = len(request.content)
    if size > LARGE_REQUEST_BYTES:
        return float(tokens_read(request.content, request.endpoint))
    return size / BYTES_PER_TOKEN


def said(unit: Unit, known: Bucket | Window, age_s: float) -> News:
    """Return an advertised limit as news, projected to the present."""
    if isinstance(known, Window):
        ends_in_s = max(known.ends_in_s - age_s, 0.0)
        return ("window", unit, known.limit, known.left, ends_in_s, known.period_s)
    rate, burst = known.limit.rate, known.limit.burst
    left, reset_s = known.left + rate * age_s, max(known.reset_s - age_s, 0.0)
    return ("bucket", unit, rate, burst, left, reset_s, known.sure)


def release_all(model: ModelCalls) -> None:
    """Release all waiting calls, with or without a place."""
    while model.waiting:
        release(model, model.waiting.popleft().future)
    for future in list(model.due):
        release(model, future)


def release(model: ModelCalls, future: asyncio.Future[None]) -> None:
    model.due.discard(future)
    if not future.done():
        future.set_result(None)


def moment() -> float:
    return asyncio.get_running_loop().time()


SOURCES: Mapping[Source, str] = {
    "configured": "configured on the provider",
    "advertised": "advertised by the provider",
    "learned": "learned from 429s",
}


UNITS_IN_WORDS: Mapping[Unit, str] = {"requests": "", "tokens": " tokens"}


def held_by(name: str, model: ModelCalls, now: float) -> Held:
    wait_s = max(model.held_until - now, 0.0)
    if not wait_s:
        return Held(name, model.limits)
    return Held(name, model.limits, model.reason or held_to(model.limits), wait_s)


def held_to(limits: Limits) -> str:
    """Describe the active limit, such as "held to 4.3/s, learned from 429s"."""
    return " and ".join(
        f"held to {_amount(limit.rate)}{UNITS_IN_WORDS[unit]}/s, {SOURCES[limit.source]}"
        for unit, limit in limits.items()
    )


def _amount(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def give_back(turn: CallTurn) -> None:
    """Return the unused booking of a call to the limits."""
    if turn.booked:
        turn.booked = False
        _note(turn.model, turn.tokens, turn.call, share=1.0)


def take(turn: CallTurn) -> None:
    """Charge the limits for a call that was made without a booking."""
    turn.booked, turn.call = True, turn.model.last_call
    _note(turn.model, turn.tokens, turn.call, share=-1.0)


def put_back(model: ModelCalls, tokens: float, slot: Reservation) -> None:
    """Return a place that came too late to the limits."""
    if slot.booked:
        _note(model, tokens, slot.call, share=1.0)


def _note(model: ModelCalls, tokens: float, call: int, *, share: float) -> None:
    model.news += [
        ("give_back", "requests", share, call),
        ("give_back", "tokens", share * tokens, call),
    ]
