"""Each request that a run has drawn is delivered, kept or dropped, once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from batches.engine.errors import AuthError, RequestRefused, ServerError
from batches.engine.execute import Execution, Stop
from batches.engine.records import SCHEDULES, PreparedRequest, Schedule
from batches.engine.retry import RetryPolicy
from tests.engine.doors import Run, settle
from tests.engine.makers import request
from tests.engine.test_execute_end import never_content
from tests.waiting import eventually

ENDS: dict[str, Callable[[Execution], None]] = {
    "finish": lambda execution: execution.stop(Stop.FINISH),
    "leave": lambda execution: execution.stop(Stop.LEAVE),
    "settle": lambda execution: execution.stop(Stop.SETTLE),
    "room": Execution.make_room,
}


class Source:
    """Chunks of three requests each, and the indices of those that were drawn."""

    def __init__(self) -> None:
        self.drawn: list[int] = []

    async def chunks(self) -> AsyncIterator[Sequence[PreparedRequest]]:
        for first in range(0, 60, 3):
            chunk = [request(index) for index in range(first, first + 3)]
            self.drawn += [each.index for each in chunk]
            yield chunk


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("end", ENDS)
async def test_what_is_not_delivered_is_dropped_before_the_last_call_is_over(
    end: str, schedule: Schedule
) -> None:
    source = Source()
    never = RetryPolicy(base_s=3600.0, cap_s=3600.0)
    run = Run(0, window=3, schedule=schedule, retry=never, chunks=source.chunks())
    await run.inside(0, 1, 2)
    run.doors.let(0)
    run.doors.fail(1, ServerError("HTTP 500"))
    await eventually(lambda: run.done == [0])
    await settle()
    slow = set(run.doors.inside)
    ENDS[end](run.execution)
    await settle()
    # The failed one waits for its retry: it is paid for, and so it is not left when room is made.
    waiting = {1} if end == "room" else set()
    assert set(run.dropped) | {0} | slow | waiting == set(source.drawn)
    run.execution.stop()
    run.doors.let(*slow)
    await run.end()
    assert sorted([*run.done, *run.dropped]) == source.drawn


async def test_what_fails_after_the_stop_is_dropped() -> None:
    source = Source()
    run = Run(0, window=3, chunks=source.chunks())
    await run.full()
    run.execution.stop(Stop.LEAVE)
    run.doors.fail(0, ServerError("HTTP 500"))
    run.doors.fail(1, AuthError("HTTP 401"))
    run.doors.let(2)
    await run.end()
    assert run.done == [2]
    assert sorted(run.dropped) == [index for index in source.drawn if index != 2]


async def test_a_reply_that_is_kept_is_not_dropped() -> None:
    source = Source()
    run = Run(0, window=3, chunks=source.chunks(), judge=never_content)
    await run.full()
    run.execution.stop(Stop.LEAVE)
    run.doors.let(0)
    run.doors.fail(1, ServerError("HTTP 500"))
    run.doors.fail(2, ServerError("HTTP 500"))
    await run.end()
    assert run.done == []
    assert [exchange.request.index for exchange in run.execution.broken_off] == [0]
    assert sorted(run.dropped) == source.drawn[1:]


async def test_a_failure_that_is_held_back_is_not_dropped() -> None:
    source = Source()
    run = Run(0, window=3, chunks=source.chunks())
    await run.full()
    run.doors.fail(0, RequestRefused("HTTP 400"))
    await run.inside(1, 2, 3)
    run.execution.stop(Stop.LEAVE)
    for index in (1, 2, 3):
        run.doors.fail(index, ServerError("HTTP 500"))
    await run.end()
    assert run.done == []
    assert run.execution.is_undecided
    assert sorted(run.dropped) == source.drawn[1:]


async def test_a_reply_is_delivered_though_its_retry_waits_to_be_admitted() -> None:
    waits, may_go_on = asyncio.Event(), asyncio.Event()

    async def admit(_: PreparedRequest) -> bool:
        # The first answer was asked about again, and that call has failed: this is its retry.
        if run.doors.begun == [0, 0]:
            waits.set()
            await may_go_on.wait()
        return True

    run = Run(1, window=1, judge=never_content, admit=admit)
    await run.inside(0)
    run.doors.let(0)
    await eventually(lambda: run.doors.begun == [0, 0])
    run.doors.fail(0, ServerError("HTTP 500"))
    await eventually(waits.is_set)
    run.execution.stop(Stop.SETTLE)
    may_go_on.set()
    await run.end()
    [exchange] = run.delivered
    assert exchange.reply is not None
    assert run.dropped == []
