"""How a run ends before its time: stop, pause, a deliver that waits or fails."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from batches.engine.errors import (
    AnswerRejected,
    AuthError,
    ConfigError,
    FailureKind,
    ProviderError,
    QuotaError,
    RequestRefused,
    ServerError,
)
from batches.engine.execute import Execution, ExecutionOptions, Stop, gather_all
from batches.engine.records import (
    SCHEDULES,
    Exchange,
    Judgement,
    PreparedRequest,
    Reply,
    Schedule,
)
from batches.engine.retry import RetryPolicy
from tests.engine.doors import Doors, Run, ended, settle
from tests.engine.makers import REJECTED, in_chunks, request
from tests.waiting import eventually


def others() -> set[asyncio.Task[object]]:
    """The tasks that run beside this test."""
    return asyncio.all_tasks() - {asyncio.current_task()}


class DiskFull(Exception):
    """What a deliver might meet."""


async def refuse(exchange: Exchange) -> None:
    raise DiskFull


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_stop_finishes_what_is_in_flight_and_begins_nothing(schedule: Schedule) -> None:
    run = Run(30, window=3, schedule=schedule)
    await run.full()
    run.execution.stop()
    await settle()
    assert run.doors.begun == [0, 1, 2]
    assert not run.task.done()
    run.doors.let(2, 0, 1)
    await run.end()
    assert sorted(run.done) == [0, 1, 2]
    assert run.doors.begun == [0, 1, 2]
    assert run.execution.pause is None
    await settle()
    assert not others()


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_run_that_is_stopped_before_it_begins_sends_nothing(schedule: Schedule) -> None:
    doors = Doors()
    execution = Execution(doors.send, refuse, ExecutionOptions(schedule=schedule))
    execution.stop()
    execution.stop()
    await ended(asyncio.create_task(execution.run(in_chunks(map(request, range(9)), 3))))
    assert doors.begun == []


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_run_that_is_stopped_draws_at_most_the_chunk_it_was_waiting_for(
    schedule: Schedule,
) -> None:
    drawn = 0
    more = asyncio.Event()

    async def source() -> AsyncIterator[Sequence[PreparedRequest]]:
        nonlocal drawn
        while True:
            drawn += 1
            yield [request(drawn)]
            await more.wait()

    run = Run(0, window=1, schedule=schedule, chunks=source())
    await run.inside(1)
    run.execution.stop()
    run.doors.let(1)
    more.set()
    await run.end()
    assert drawn <= 2
    assert run.done == [1]


async def test_a_call_that_fails_after_the_stop_is_left_undone() -> None:
    run = Run(3, window=2)
    await run.full()
    run.execution.stop()
    run.doors.fail(0, ServerError("500"))
    run.doors.let(1)
    await run.end()
    # Whoever has the prompt next begins it anew; nothing final is known of it.
    assert run.done == [1]
    assert run.doors.begun == [0, 1]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("cls", [AuthError, QuotaError])
async def test_an_error_that_asks_for_a_pause_stops_the_run_and_fails_no_prompt(
    cls: type[ProviderError], schedule: Schedule
) -> None:
    run = Run(40, window=4, schedule=schedule)
    await run.full()
    run.doors.let(0)
    await settle()
    error = cls("HTTP 401: no")
    begun = len(run.doors.begun)
    run.doors.fail(2, error)
    await settle()
    assert run.execution.pause is error
    assert len(run.doors.begun) == begun
    for index in list(run.doors.inside):
        run.doors.let(index)
    await run.end()
    assert len(run.doors.begun) == begun
    assert sorted(run.done) == [index for index in run.doors.begun if index != 2]
    assert all(exchange.error is None for exchange in run.delivered)


async def test_the_first_pause_is_the_one_that_is_told() -> None:
    run = Run(4, window=4)
    await run.full()
    first, second = AuthError("first"), QuotaError("second")
    run.doors.fail(1, first)
    await settle()
    run.doors.fail(0, second)
    run.doors.let(2, 3)
    await run.end()
    assert run.execution.pause is first
    assert run.done == [2, 3]


async def test_a_wide_window_of_faults_in_the_setup_leaves_the_rest_undone() -> None:
    run = Run(500, window=100)
    await run.full()
    for index in list(run.doors.inside):
        run.doors.fail(index, ConfigError("HTTP 404: no such model"))
    await run.let_all()
    assert isinstance(run.execution.pause, ConfigError)
    assert all(exchange.error is None for exchange in run.delivered)
    # The lanes of the nineteen before the pause may each have begun one more.
    assert len(run.doors.begun) <= 119


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_deliver_that_waits_stops_the_sending(schedule: Schedule) -> None:
    room = asyncio.Event()
    delivered: list[int] = []

    async def deliver(exchange: Exchange) -> None:
        await room.wait()
        delivered.append(exchange.request.index)

    doors = Doors()
    execution = Execution(doors.send, deliver, ExecutionOptions(batch_size=3, schedule=schedule))
    run = asyncio.create_task(execution.run(in_chunks(map(request, range(12)), 3)))
    await eventually(lambda: len(doors.inside) == 3)
    doors.let(0, 1, 2)
    await settle()
    assert doors.begun == [0, 1, 2]
    assert (execution.in_flight, delivered) == (0, [])
    room.set()
    await doors.let_all(until=run.done)
    await ended(run)
    assert sorted(delivered) == list(range(12))


async def test_one_deliver_that_waits_stops_only_its_own_lane() -> None:
    room = asyncio.Event()
    delivered: list[int] = []

    async def deliver(exchange: Exchange) -> None:
        if exchange.request.index == 0:
            await room.wait()
        delivered.append(exchange.request.index)

    doors = Doors()
    execution = Execution(doors.send, deliver, ExecutionOptions(batch_size=2))
    run = asyncio.create_task(execution.run(in_chunks(map(request, range(6)), 2)))
    await eventually(lambda: len(doors.inside) == 2)
    await doors.let_all(until=lambda: len(delivered) == 5)
    assert delivered == [1, 2, 3, 4, 5]
    room.set()
    await ended(run)
    assert delivered[-1] == 0


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_failing_deliver_ends_the_run_and_leaves_no_task_behind(
    schedule: Schedule,
) -> None:
    doors = Doors()
    options = ExecutionOptions(batch_size=5, schedule=schedule)
    execution = Execution(doors.send, refuse, options)
    run = asyncio.create_task(execution.run(in_chunks(map(request, range(50)), 5)))
    await eventually(lambda: len(doors.inside) == 5)
    doors.let(3)
    with pytest.raises(DiskFull):
        await ended(run)
    assert doors.inside == {}
    assert execution.in_flight == 0
    await settle()
    assert not others()


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_failing_source_of_chunks_ends_the_run_and_leaves_no_task_behind(
    schedule: Schedule,
) -> None:
    async def source() -> AsyncIterator[Sequence[PreparedRequest]]:
        yield [request(0)]
        raise DiskFull

    run = Run(0, window=2, schedule=schedule, chunks=source())
    with pytest.raises(DiskFull):
        await run.let_all()
    assert run.doors.inside == {}
    await settle()
    assert not others()


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_run_that_is_cancelled_cancels_its_calls(schedule: Schedule) -> None:
    run = Run(20, window=4, schedule=schedule)
    await run.full()
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.end()
    assert (run.doors.inside, run.done) == ({}, [])
    assert run.execution.in_flight == 0
    await settle()
    assert not others()


async def test_a_timer_of_a_stopped_run_wakes_nothing() -> None:
    run = Run(2, window=2, retry=RetryPolicy(base_s=0.0))
    await run.full()
    run.doors.fail(0, ServerError("500", retry_after_s=0.02))
    await settle()
    run.execution.stop()
    run.doors.let(1)
    await run.end()
    await asyncio.sleep(0.05)
    assert run.doors.begun == [0, 1]
    assert run.done == [1]


async def test_gather_all_cancels_the_others_and_tells_the_first_error() -> None:
    ended: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise DiskFull

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    with pytest.raises(DiskFull):
        await gather_all(waits(), fails(), waits())
    assert ended == ["cleaned up", "cleaned up"]
    assert not others()


def never_content(request: PreparedRequest, reply: Reply) -> Judgement:
    """The judge who asks again as often as he may."""
    again = replace(request, rejected=(*request.rejected, REJECTED))
    return Judgement(fault=AnswerRejected(FailureKind.NOT_JSON, "no"), follow_up=again)


def content_with_the_second(request: PreparedRequest, reply: Reply) -> Judgement:
    return Judgement(parsed=1) if request.rejected else never_content(request, reply)


async def test_a_stop_lets_a_second_question_be_answered() -> None:
    run = Run(9, window=1, judge=content_with_the_second)
    await run.inside(0)
    run.execution.stop()
    run.doors.let(0)
    await eventually(lambda: run.doors.begun == [0, 0])
    run.doors.let(0)
    await run.end()
    [exchange] = run.delivered
    assert (exchange.calls, exchange.error) == (2, None)
    assert exchange.judgement == Judgement(parsed=1)


async def test_a_stop_that_is_in_earnest_keeps_what_came_and_asks_nothing_more() -> None:
    run = Run(9, window=2, judge=never_content)
    await run.inside(0, 1)
    run.execution.stop(Stop.SETTLE)
    run.doors.let(0, 1)
    await run.end()
    assert run.doors.begun == [0, 1]
    assert run.done == [0, 1]
    assert all(exchange.reply and exchange.judgement for exchange in run.delivered)


async def test_a_stop_that_another_run_follows_leaves_a_second_question_to_that() -> None:
    run = Run(9, window=2, judge=never_content)
    await run.inside(0, 1)
    run.execution.stop(Stop.LEAVE)
    run.execution.stop(Stop.FINISH)
    run.doors.let(0, 1)
    await run.end()
    assert run.doors.begun == [0, 1]
    assert run.delivered == []


@pytest.mark.parametrize("how", list(Stop))
async def test_refusals_of_which_nothing_more_will_be_known_are_kept_if_no_run_follows(
    how: Stop,
) -> None:
    run = Run(9, window=1)
    await run.inside(0)
    run.doors.fail(0, RequestRefused("HTTP 400"))
    await run.inside(1)
    assert run.execution.is_undecided
    run.execution.stop(how)
    run.doors.fail(1, RequestRefused("HTTP 400"))
    await run.end()
    assert run.done == ([0, 1] if how is Stop.SETTLE else [])


async def test_a_stop_lets_a_second_question_be_asked_that_waits_to_be_admitted() -> None:
    asked = asyncio.Event()

    async def admit(request: PreparedRequest) -> bool:
        if request.rejected:
            asked.set()
            await eventually(lambda: bool(run.execution._stopped))
        return not request.rejected

    run = Run(9, window=1, judge=content_with_the_second, admit=admit)
    await run.inside(0)
    run.doors.let(0)
    await asked.wait()
    run.execution.stop()
    await run.inside(0)
    run.doors.let(0)
    await run.end()
    assert [exchange.calls for exchange in run.delivered] == [2]


async def test_a_key_that_is_revoked_between_two_questions_fails_no_prompt() -> None:
    run = Run(9, window=2, judge=content_with_the_second)
    await run.inside(0, 1)
    run.doors.let(0)
    await eventually(lambda: run.doors.begun == [0, 1, 0])
    error = AuthError("HTTP 401")
    run.doors.fail(0, error)
    await settle()
    # Its first answer would be followed by another question.
    run.doors.let(1)
    await run.end()
    assert run.execution.pause is error
    assert run.delivered == []
    assert [exchange.request.index for exchange in run.execution.broken_off] == [0, 1]
    assert run.doors.begun == [0, 1, 0]


async def test_a_judge_who_breaks_down_fails_one_prompt_that_is_not_paid_for_again() -> None:
    def judge(request: PreparedRequest, reply: Reply) -> Judgement:
        if request.index == 1:
            raise MemoryError
        return Judgement(parsed=1)

    run = Run(3, window=1, judge=judge)
    await run.let_all()
    assert run.done == [0, 1, 2]
    assert run.doors.begun == [0, 1, 2]
    judgement = run.delivered[1].judgement
    assert judgement is not None
    assert judgement.fault is not None
    assert judgement.fault.kind is FailureKind.INTERNAL
    assert "MemoryError" in judgement.fault.message
