"""What a run does while a target answers nothing: it waits, probes, and charges no prompt."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from batches.engine import outages
from batches.engine.errors import (
    AnswerRejected,
    DeadlineExceeded,
    FailureKind,
    MalformedReply,
    NetworkError,
    Overloaded,
    ProviderError,
    RequestRefused,
    ServerError,
    TargetAway,
    Unreachable,
)
from batches.engine.execute import Execution, ExecutionOptions, Stop
from batches.engine.liveness import (
    UNAVAILABLE_IN_A_ROW,
    Away,
    Patience,
    Suspicion,
    suspicion_of,
)
from batches.engine.outages import SharedOutages
from batches.engine.records import Exchange, Judgement, PreparedRequest, Reply
from batches.engine.retry import RetryPolicy
from tests.engine.makers import REJECTED, in_chunks, reply, request
from tests.waiting import eventually

HASTY = Patience(first_s=0.001, longest_s=0.01)
OUTAGES: list[ProviderError] = [
    Unreachable("connection refused"),
    Unreachable("no such host"),
    Overloaded("HTTP 503: Loading model", status_code=503),
    ServerError("HTTP 502: Bad gateway", status_code=502),
    ServerError("HTTP 500", status_code=500),
    NetworkError("the reply broke off"),
    DeadlineExceeded("no whole reply"),
    MalformedReply("HTML"),
]


@dataclass
class Provider:
    """Answers, unless it is away: then every call fails with `error`."""

    error: ProviderError
    away: bool = False
    calls: list[int] = field(default_factory=list)
    calls_away: int = 0
    in_flight_away: int = 0
    most_away: int = 0

    async def send(self, request: PreparedRequest) -> Reply:
        self.calls.append(request.index)
        if not self.away:
            await asyncio.sleep(0.001)
            return reply(f"answer {request.index}")
        self.calls_away += 1
        self.in_flight_away += 1
        self.most_away = max(self.most_away, self.in_flight_away)
        try:
            await asyncio.sleep(0.001)
            raise type(self.error)(self.error.message, status_code=self.error.status_code)
        finally:
            self.in_flight_away -= 1


@dataclass
class Run:
    """A run against a provider, with what it has delivered."""

    provider: Provider
    prompts: int
    window: int = 10
    max_attempts: int = 5
    patience: Patience = HASTY
    base_s: float = 10.0
    models: Sequence[str] = ("some-model",)

    def __post_init__(self) -> None:
        self.delivered: list[Exchange] = []
        # No prompt is tried again before it is known that the target is away.
        policy = RetryPolicy(
            max_attempts=self.max_attempts, base_s=self.base_s, patience=self.patience
        )
        options = ExecutionOptions(batch_size=self.window, retry=policy)
        self.execution = Execution(self.provider.send, self.deliver, options)
        requests = [
            replace(request(index), model=self.models[index % len(self.models)])
            for index in range(self.prompts)
        ]
        chunks = in_chunks(requests, self.window)
        self.task = asyncio.create_task(self.execution.run(chunks))

    async def deliver(self, exchange: Exchange) -> None:
        self.delivered.append(exchange)

    async def is_away(self) -> None:
        await eventually(lambda: bool(self.execution.away))

    async def end(self) -> None:
        async with asyncio.timeout(30):
            await self.task


# With one attempt each, one after the other, nothing tells some errors from those of bad prompts.
PLANS = [
    (error, window, prompts, max_attempts)
    for error in OUTAGES
    for window in (1, 7, 50)
    for prompts in (6, 300)
    for max_attempts in (1, 5)
    if max_attempts > 1 or window > 1 or suspicion_of(error) is not Suspicion.UNCERTAIN
]


@pytest.mark.parametrize(("error", "window", "prompts", "max_attempts"), PLANS)
async def test_an_outage_from_the_start_fails_no_prompt(
    error: ProviderError, window: int, prompts: int, max_attempts: int
) -> None:
    provider = Provider(error, away=True)
    run = Run(provider, prompts, window=window, max_attempts=max_attempts)
    await run.is_away()
    provider.away = False
    await run.end()
    assert sorted(each.request.index for each in run.delivered) == list(range(prompts))
    assert [each.error for each in run.delivered] == [None] * prompts


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: f"{type(error).__name__}-{error}")
async def test_an_outage_in_the_middle_is_probed_by_one_call_at_a_time(
    error: ProviderError,
) -> None:
    provider = Provider(error)
    run = Run(provider, 300, window=20)
    await eventually(lambda: len(run.delivered) >= 50)
    provider.away = True
    await run.is_away()
    await eventually(lambda: not provider.in_flight_away)
    # Those in flight when it went away, and the few that showed it.
    assert provider.calls_away <= 2 * run.window
    provider.calls_away = provider.most_away = 0
    await eventually(lambda: provider.calls_away >= 8)
    assert provider.most_away == 1
    [target] = run.execution.away
    assert target.away is not None
    assert target.away.reason == error.message
    assert target.away.probes >= 6
    provider.away = False
    await run.end()
    assert run.execution.pause is None
    assert sorted(each.request.index for each in run.delivered) == list(range(300))
    assert [each.error for each in run.delivered] == [None] * 300


async def test_a_target_that_stays_away_pauses_the_run_and_fails_no_prompt() -> None:
    provider = Provider(Overloaded("HTTP 503: Loading model"), away=True)
    run = Run(provider, 300, patience=Patience(first_s=0.001, longest_s=0.01, total_s=0.05))
    await run.end()
    assert isinstance(run.execution.pause, TargetAway)
    assert "HTTP 503: Loading model" in run.execution.pause.message
    assert run.delivered == []


async def test_prompts_that_break_the_server_fail_while_others_are_answered() -> None:
    bad = {3, 50, 51, 52, 53}

    @dataclass
    class Fragile(Provider):
        async def send(self, request: PreparedRequest) -> Reply:
            if request.index in bad:
                raise Overloaded("HTTP 503", status_code=503)
            return await Provider.send(self, request)

    run = Run(Fragile(ServerError("500")), 300, base_s=0.001)
    await run.end()
    assert {each.request.index for each in run.delivered if each.error} == bad
    assert len(run.delivered) == 300


async def test_where_only_prompts_that_break_the_server_are_left_the_run_pauses() -> None:
    """Nothing tells them from an outage; the answered ones are kept, and none fails."""
    bad = {97, 98, 99}

    @dataclass
    class Fragile(Provider):
        async def send(self, request: PreparedRequest) -> Reply:
            if request.index in bad:
                raise Overloaded("HTTP 503", status_code=503)
            return await Provider.send(self, request)

    patience = Patience(first_s=0.001, longest_s=0.01, total_s=0.05)
    run = Run(Fragile(ServerError("500")), 100, patience=patience, window=1)
    await run.end()
    assert isinstance(run.execution.pause, TargetAway)
    assert sorted(each.request.index for each in run.delivered) == list(range(97))
    assert not any(each.error for each in run.delivered)


async def test_one_model_that_is_away_does_not_hold_up_another() -> None:
    provider = Provider(Unreachable("refused"))

    async def send(request: PreparedRequest) -> Reply:
        if request.model == "away" and provider.away:
            raise Unreachable("refused")
        return reply("hello")

    provider.away = True
    delivered: list[Exchange] = []

    async def deliver(exchange: Exchange) -> None:
        delivered.append(exchange)

    options = ExecutionOptions(batch_size=10, retry=RetryPolicy(patience=HASTY))
    execution = Execution(send, deliver, options)
    requests = [
        replace(request(index), model="away" if index % 2 else "here") for index in range(60)
    ]
    task = asyncio.create_task(execution.run(in_chunks(requests, 10)))
    await eventually(lambda: len(delivered) == 30)
    assert {each.request.model for each in delivered} == {"here"}
    provider.away = False
    async with asyncio.timeout(30):
        await task
    assert len(delivered) == 60


async def test_what_a_server_refuses_shows_that_it_answers() -> None:
    provider = Provider(Unreachable("refused"), away=True)
    run = Run(provider, 50)
    await run.is_away()
    provider.error = RequestRefused("HTTP 400: no", status_code=400)
    # Refused prompts are held back until one is answered.
    await eventually(lambda: not run.execution.away)
    provider.away = False
    await run.end()
    assert len(run.delivered) == 50


async def test_a_run_that_must_make_room_does_not_wait_for_an_outage() -> None:
    provider = Provider(Overloaded("HTTP 503"), away=True)
    run = Run(provider, 300, patience=Patience(first_s=60.0))
    await run.is_away()
    run.execution.make_room()
    await run.end()
    assert run.delivered == []


@dataclass
class Board:
    """A board that notes what it is told, and grants no probe."""

    told: list[tuple[str, Away | None]] = field(default_factory=list)
    asked: int = 0

    async def claim_probe(self, _model: str) -> bool:
        self.asked += 1
        return False

    async def tell(self, model: str, away: Away | None) -> None:
        self.told.append((model, away))


async def test_runners_tell_each_other_and_only_one_of_them_probes() -> None:
    provider, board = Provider(Unreachable("refused"), away=True), Board()
    delivered: list[Exchange] = []

    async def deliver(exchange: Exchange) -> None:
        delivered.append(exchange)

    options = ExecutionOptions(batch_size=4, retry=RetryPolicy(patience=HASTY))
    execution = Execution(provider.send, deliver, options, board=board)
    requests = [replace(request(index), model="m") for index in range(20)]
    task = asyncio.create_task(execution.run(in_chunks(requests, 4)))
    await eventually(lambda: board.asked >= 3)
    calls = len(provider.calls)
    [(model, away)] = board.told
    assert model == "m"
    assert away is not None
    # Others still see it away: nothing is sent.
    execution.apply_shared(SharedOutages({"m": away}, read_at=time.monotonic()))
    await eventually(lambda: board.asked >= 6)
    assert len(provider.calls) == calls
    provider.away = False
    execution.apply_shared(SharedOutages({}, read_at=time.monotonic()))
    async with asyncio.timeout(30):
        await task
    assert len(delivered) == 20


async def test_a_run_that_begins_in_an_outage_that_others_found_sends_nothing() -> None:
    provider, board = Provider(Unreachable("refused")), Board()
    options = ExecutionOptions(batch_size=4, retry=RetryPolicy(patience=HASTY))

    async def deliver(_exchange: Exchange) -> None:
        """Take no note."""

    execution = Execution(provider.send, deliver, options, board=board)
    now = time.monotonic()
    away = Away("HTTP 503", since=now - 5, next_probe=now)
    execution.apply_shared(SharedOutages({"": away, "another": away}, read_at=now))
    task = asyncio.create_task(execution.run(in_chunks(map(request, range(9)), 4)))
    await eventually(lambda: board.asked >= 3)
    assert provider.calls == []
    assert [target.model for target in execution.away] == [""]
    execution.apply_shared(SharedOutages({}, read_at=time.monotonic()))
    async with asyncio.timeout(30):
        await task
    assert len(provider.calls) == 9


async def test_a_probe_that_hangs_is_given_up_and_the_next_one_may_be_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "PROBE_TIMEOUT_S", 0.05)
    hanging = asyncio.Event()
    calls = 0

    async def send(request: PreparedRequest) -> Reply:
        nonlocal calls
        calls += 1
        if calls <= UNAVAILABLE_IN_A_ROW:
            raise Overloaded("HTTP 503")
        if not hanging.is_set():
            hanging.set()
            await asyncio.sleep(3600)
        return reply("hello")

    delivered: list[Exchange] = []

    async def deliver(exchange: Exchange) -> None:
        delivered.append(exchange)

    retry = RetryPolicy(patience=HASTY, base_s=10.0)
    execution = Execution(send, deliver, ExecutionOptions(batch_size=4, retry=retry))
    async with asyncio.timeout(30):
        await execution.run(in_chunks(map(request, range(12)), 4))
    assert [each.error for each in delivered] == [None] * 12


async def test_a_hanging_target_is_given_up_when_patience_is_over() -> None:
    patience = Patience(first_s=0.001, longest_s=0.01, total_s=0.1)
    run = Run(Provider(DeadlineExceeded("late"), away=True), 50, window=10, patience=patience)
    await run.end()
    assert isinstance(run.execution.pause, TargetAway)
    assert run.delivered == []


async def test_prompts_that_fail_at_once_do_not_keep_the_probe_from_the_others() -> None:
    """Sixty in front that no server can answer, and good ones behind them."""

    class Odd(Provider):
        async def send(self, request: PreparedRequest) -> Reply:
            if request.index < 60:
                raise ServerError("HTTP 500", status_code=500)
            await asyncio.sleep(0.005)
            return reply("hello")

    run = Run(Odd(ServerError("500")), 400, window=100, base_s=0.001)
    await run.end()
    assert run.execution.pause is None
    assert {each.request.index for each in run.delivered if each.error} == set(range(60))
    assert len(run.delivered) == 400


async def test_a_row_that_went_stale_while_a_probe_hangs_is_no_answer() -> None:
    provider = Provider(Unreachable("refused"), away=True)
    run = Run(provider, 50, window=10)
    await eventually(lambda: run.execution.away != [] and run.execution.away[0].probe is not None)
    run.execution.apply_shared(SharedOutages({}, read_at=time.monotonic() + 1))
    assert run.execution.away
    provider.away = False
    await run.end()


@pytest.mark.parametrize("how", [Stop.SETTLE, Stop.LEAVE])
async def test_what_was_answered_is_not_lost_when_the_run_is_stopped_in_an_outage(
    how: Stop,
) -> None:
    asked: set[int] = set()

    async def send(request: PreparedRequest) -> Reply:
        if request.index in asked:
            raise Overloaded("HTTP 503")
        asked.add(request.index)
        return reply("no JSON")

    def judge(request: PreparedRequest, reply: Reply) -> Judgement:
        fault = AnswerRejected(FailureKind.NOT_JSON, "no JSON")
        return Judgement(fault=fault, follow_up=replace(request, rejected=(REJECTED,)))

    delivered: list[Exchange] = []

    async def deliver(exchange: Exchange) -> None:
        delivered.append(exchange)

    # More attempts than there can be before it is known that the target is away.
    retry = RetryPolicy(max_attempts=1000, patience=Patience(first_s=60.0))
    options = ExecutionOptions(batch_size=5, retry=retry)
    execution = Execution(send, deliver, options, judge=judge)
    task = asyncio.create_task(execution.run(in_chunks(map(request, range(5)), 5)))
    await eventually(lambda: bool(execution.away))
    execution.stop(how)
    async with asyncio.timeout(30):
        await task
    expected = 5 if how is Stop.SETTLE else 0
    assert len(delivered) == expected
    assert all(each.reply is not None for each in delivered)
