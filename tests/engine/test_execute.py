"""How calls are made: the window, the schedules, retries."""

import asyncio
import logging
import random
from collections.abc import Iterator

import pytest

from batches.engine.errors import (
    AccessRefused,
    ConfigError,
    DeadlineExceeded,
    FailureKind,
    InternalError,
    Overloaded,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.records import SCHEDULES, PreparedRequest, Schedule
from batches.engine.refusals import MOST_HELD, REFUSALS_TO_PAUSE
from batches.engine.request_queue import WAITING_PER_LANE
from batches.engine.retry import RetryPolicy
from tests.engine.doors import Run, settle
from tests.engine.makers import in_chunks, request
from tests.waiting import eventually

FOREVER_S = 3000.0

# The first numbers that chance brings after it are 0.97 and 0.01.
SEED_HIGH_THEN_LOW = 15


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("count", "window"), [(0, 3), (1, 3), (3, 3), (10, 3), (10, 1), (5, 100)])
async def test_every_request_is_sent_once_and_delivered_once(
    count: int, window: int, schedule: Schedule
) -> None:
    run = Run(count, window=window, schedule=schedule)
    await run.let_all()
    assert sorted(run.done) == list(range(count))
    assert sorted(run.doors.begun) == list(range(count))
    assert run.execution.pause is None
    assert run.execution.in_flight == 0


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_requests_begin_in_their_order(schedule: Schedule) -> None:
    run = Run(30, window=4, schedule=schedule)
    await run.let_all()
    assert run.doors.begun == list(range(30))


async def test_the_rolling_window_is_never_exceeded_and_always_full() -> None:
    run = Run(20, window=5)
    for finished in range(16):
        await run.full()
        assert len(run.doors.begun) == finished + 5
        assert run.execution.in_flight == 5
        # Now the oldest call ends, now the newest.
        oldest_or_newest = min if finished % 2 else max
        run.doors.let(oldest_or_newest(run.doors.inside))
    await run.let_all()
    assert run.doors.most_inside == 5
    assert sorted(run.done) == list(range(20))


@pytest.mark.parametrize("size", [1, 2, 7, 50])
async def test_the_window_is_full_whatever_the_size_of_the_chunks(size: int) -> None:
    run = Run(0, window=6, chunks=in_chunks(map(request, range(50)), size))
    for _ in range(44):
        await run.full()
        run.doors.let(min(run.doors.inside))
    await run.let_all()
    assert run.doors.most_inside == 6
    assert sorted(run.done) == list(range(50))


async def test_rolling_goes_on_past_a_straggler() -> None:
    run = Run(12, window=3)
    for index in range(1, 12):
        await run.inside(index)
        run.doors.let(index)
    await eventually(lambda: len(run.done) == 11)
    assert list(run.doors.inside) == [0]
    run.doors.let(0)
    await run.end()
    assert run.done[-1] == 0


async def test_lockstep_begins_a_chunk_only_after_the_slowest_call_of_the_last() -> None:
    run = Run(9, window=3, schedule="lockstep")
    for first in (0, 3, 6):
        await run.inside(first, first + 1, first + 2)
        run.doors.let(first, first + 2)
        await settle()
        assert run.doors.begun == list(range(first + 3))
        run.doors.let(first + 1)
    await run.end()
    assert run.done == [0, 2, 1, 3, 5, 4, 6, 8, 7]


async def test_lockstep_waits_for_the_retries_of_a_chunk() -> None:
    run = Run(4, window=2, schedule="lockstep")
    await run.inside(0, 1)
    run.doors.let(0)
    run.doors.fail(1, ServerError("500"))
    await eventually(lambda: run.doors.begun == [0, 1, 1])
    await settle()
    assert run.doors.begun == [0, 1, 1]
    run.doors.let(1)
    await run.inside(2, 3)
    await run.let_all()
    assert run.done == [0, 1, 2, 3]


async def test_a_retry_that_waits_holds_no_lane() -> None:
    run = Run(30, window=1)
    await run.inside(0)
    run.doors.fail(0, RateLimited("slow down", retry_after_s=FOREVER_S))
    await run.let_all(until=lambda: len(run.done) == 29)
    assert run.done == list(range(1, 30))
    assert run.doors.begun.count(0) == 1
    assert not run.task.done()
    run.execution.stop()
    await run.end()
    assert 0 not in run.done


async def test_a_retry_is_sent_when_its_wait_is_over() -> None:
    run = Run(3, window=1, retry=RetryPolicy(base_s=0.02))
    await run.inside(0)
    run.doors.fail(0, Overloaded("503"))
    await run.let_all()
    assert sorted(run.done) == [0, 1, 2]
    assert run.doors.begun.count(0) == 2


async def test_a_retry_is_not_sent_before_its_wait_is_over() -> None:
    run = Run(1, window=1)
    await run.inside(0)
    run.doors.fail(0, RateLimited("slow down", retry_after_s=0.2))
    await run.let_all()
    [exchange] = run.delivered
    # Two calls that took no time to speak of, and the wait between them.
    assert exchange.calls == 2
    assert exchange.elapsed_s - exchange.busy_s >= 0.2 * 0.99


async def test_no_fresh_request_is_begun_while_too_many_wait() -> None:
    # Otherwise a provider that is down would have us hold the whole batch in memory.
    window = 3
    run = Run(0, window=window, chunks=in_chunks(map(request, range(1000)), 1))
    failed = 0
    await run.full()
    while run.doors.inside:
        for index in list(run.doors.inside):
            run.doors.fail(index, RateLimited("slow down", retry_after_s=FOREVER_S))
            failed += 1
        await settle()
    assert window * WAITING_PER_LANE <= failed <= window * (WAITING_PER_LANE + 2)
    run.execution.stop()
    await run.end()


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_requests_are_drawn_no_further_ahead_than_two_windows(schedule: Schedule) -> None:
    drawn = 0

    def counted() -> Iterator[PreparedRequest]:
        nonlocal drawn
        for index in range(1000):
            drawn += 1
            yield request(index)

    run = Run(0, window=4, chunks=in_chunks(counted(), 4), schedule=schedule)
    for _ in range(10):
        await run.full()
        assert drawn - len(run.done) <= 3 * 4
        run.doors.let(*run.doors.inside)
        await settle()
    run.execution.stop()
    await run.let_all()


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_a_request_that_always_fails_is_delivered_with_its_last_error(attempts: int) -> None:
    run = Run(1, window=2, retry=RetryPolicy(max_attempts=attempts, base_s=0.0))
    for number in range(1, attempts + 1):
        await run.inside(0)
        run.doors.fail(0, ServerError(f"failure {number}"))
        await settle()
    await run.end()
    [exchange] = run.delivered
    assert exchange.reply is None
    assert exchange.error is not None
    assert exchange.error.message == f"failure {attempts}"
    assert exchange.calls == len(run.doors.begun) == attempts


async def test_a_refusal_for_pace_costs_no_attempt() -> None:
    run = Run(1, window=1, retry=RetryPolicy(max_attempts=1, base_s=0.0))
    for _ in range(20):
        await run.inside(0)
        run.doors.fail(0, RateLimited("slow down"))
        await settle()
    await run.let_all()
    [exchange] = run.delivered
    assert exchange.error is None
    assert exchange.calls == 21


async def test_a_refusal_for_pace_is_final_when_the_prompt_has_waited_long_enough() -> None:
    run = Run(1, window=1, retry=RetryPolicy(base_s=0.0, max_wait_s=0.05))
    for _ in range(3):
        await run.inside(0)
        run.doors.fail(0, RateLimited("slow down", retry_after_s=0.02))
        await settle()
    await run.end()
    [exchange] = run.delivered
    assert isinstance(exchange.error, RateLimited)
    assert exchange.calls == 3


async def test_retries_of_the_same_moment_are_spread() -> None:
    random.seed(SEED_HIGH_THEN_LOW)
    run = Run(2, window=2, retry=RetryPolicy(base_s=0.5))
    await run.inside(0, 1)
    run.doors.fail(1, ServerError("500"))
    await settle()
    run.doors.fail(0, ServerError("500"))
    await eventually(lambda: len(run.doors.begun) == 4)
    # The one that drew the shorter wait comes first.
    assert run.doors.begun == [0, 1, 1, 0]
    await run.let_all()


async def test_what_the_provider_refuses_is_final_and_its_neighbours_go_on() -> None:
    run = Run(5, window=2)
    await run.inside(0)
    run.doors.fail(0, RequestRefused("HTTP 400: no"))
    await run.let_all()
    assert sorted(run.done) == [0, 1, 2, 3, 4]
    assert run.doors.begun.count(0) == 1
    assert isinstance(run.error_of(0), RequestRefused)


async def test_a_hanging_call_is_cut_at_the_deadline_and_its_lane_goes_on() -> None:
    run = Run(3, window=1, timeout_s=0.05, retry=RetryPolicy(max_attempts=2, base_s=0.0))
    # Nobody answers.
    await run.end()
    assert sorted(run.done) == [0, 1, 2]
    assert sorted(run.doors.begun) == [0, 0, 1, 1, 2, 2]
    assert run.doors.inside == {}
    for exchange in run.delivered:
        assert isinstance(exchange.error, DeadlineExceeded)
        assert exchange.calls == 2
        assert exchange.latency_s >= 0.05 * 0.99
        assert exchange.busy_s >= 0.1 * 0.99


@pytest.mark.parametrize("error", [ValueError("bad"), KeyError("x"), MemoryError(), OSError("no")])
async def test_an_unexpected_exception_fails_one_prompt_and_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(3, window=1)
    await run.inside(0)
    with caplog.at_level(logging.ERROR, logger="batches"):
        run.doors.fail(0, error)
        await run.let_all()
    assert run.done == [0, 1, 2]
    internal = run.error_of(0)
    assert isinstance(internal, InternalError)
    assert internal.kind is FailureKind.INTERNAL
    assert type(error).__name__ in internal.message
    [record] = caplog.records
    assert record.exc_info is not None
    assert run.doors.begun.count(0) == 1


async def test_a_call_that_cancels_itself_fails_one_prompt_and_no_other() -> None:
    # Some library deep below a `send` may cancel what it waits for; nobody cancelled us.
    run = Run(3, window=1)
    await run.inside(0)
    run.doors.inside[0].cancel()
    await run.let_all()
    assert sorted(run.done) == [0, 1, 2]


async def test_the_times_of_a_request_cover_its_calls_and_the_waits_between() -> None:
    run = Run(1, window=1, retry=RetryPolicy(base_s=0.0))
    await run.inside(0)
    run.doors.fail(0, ServerError("500", retry_after_s=0.05))
    await eventually(lambda: len(run.doors.begun) == 2)
    await asyncio.sleep(0.01)
    await run.let_all()
    [exchange] = run.delivered
    assert exchange.calls == 2
    assert exchange.sent_at < exchange.done_at
    assert 0.01 * 0.99 <= exchange.latency_s < exchange.busy_s
    assert exchange.busy_s + 0.05 * 0.99 <= exchange.elapsed_s


async def test_the_first_calls_failing_of_the_same_fault_in_the_setup_pause_the_run() -> None:
    run = Run(50, window=1)
    for index in range(REFUSALS_TO_PAUSE):
        await run.inside(index)
        run.doors.fail(index, ConfigError("HTTP 404: no such model"))
    await run.end()
    assert isinstance(run.execution.pause, ConfigError)
    assert run.doors.begun == list(range(REFUSALS_TO_PAUSE))
    assert REFUSALS_TO_PAUSE == 20
    # No prompt fails for it.
    assert run.delivered == []


@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
async def test_a_few_prompts_that_are_all_refused_have_failed_in_the_end(
    schedule: Schedule,
) -> None:
    run = Run(6, window=2, schedule=schedule)
    for index in range(6):
        await run.inside(index)
        run.doors.fail(index, RequestRefused("HTTP 400: too long"))
    await run.end()
    assert run.execution.pause is None
    assert run.done == list(range(6))


async def test_many_refusals_for_different_reasons_are_the_fault_of_the_prompts() -> None:
    run = Run(MOST_HELD + 5, window=1)
    for index in range(MOST_HELD):
        await run.inside(index)
        run.doors.fail(index, RequestRefused("HTTP 400", code=f"reason {index}"))
    await run.inside(MOST_HELD)
    run.doors.let(MOST_HELD)
    await eventually(lambda: len(run.delivered) == MOST_HELD + 1)
    await run.let_all()
    await run.end()
    assert run.execution.pause is None
    assert run.done == list(range(MOST_HELD + 5))


@pytest.mark.parametrize("answered", [0, 5, REFUSALS_TO_PAUSE - 1])
async def test_one_answer_shows_that_the_requests_before_it_were_at_fault(answered: int) -> None:
    run = Run(60, window=1)
    for index in range(60):
        await run.inside(index)
        if index == answered:
            run.doors.let(index)
        else:
            run.doors.fail(index, RequestRefused("HTTP 400: too long"))
    await run.end()
    assert run.execution.pause is None
    assert run.done == list(range(60))


async def test_a_model_that_is_withdrawn_in_mid_run_pauses_it_and_fails_no_prompt() -> None:
    run = Run(90, window=1)
    for index in range(30):
        await run.inside(index)
        run.doors.let(index)
    for index in range(30, 30 + REFUSALS_TO_PAUSE):
        await run.inside(index)
        run.doors.fail(index, ConfigError("HTTP 404: no such model", status_code=404))
    await run.end()
    assert isinstance(run.execution.pause, ConfigError)
    assert run.done == list(range(30))


async def test_one_prompt_that_is_forbidden_fails_alone_when_the_next_is_answered() -> None:
    run = Run(6, window=1)
    for index in range(6):
        await run.inside(index)
        if index == 2:
            run.doors.fail(index, AccessRefused("HTTP 403: you have been blocked"))
        else:
            run.doors.let(index)
    await run.end()
    assert run.execution.pause is None
    assert run.done == [0, 1, 2, 3, 4, 5]
    assert isinstance(run.error_of(2), AccessRefused)


async def test_a_run_whose_only_prompts_are_forbidden_is_paused() -> None:
    run = Run(2, window=1)
    for index in range(2):
        await run.inside(index)
        run.doors.fail(index, AccessRefused("HTTP 403: no"))
    await run.end()
    assert isinstance(run.execution.pause, AccessRefused)
    assert run.delivered == []


async def test_what_was_held_back_when_a_run_is_stopped_fails_no_prompt() -> None:
    run = Run(10, window=1)
    for index in range(5):
        await run.inside(index)
        run.doors.fail(index, ConfigError("HTTP 404: no such model"))
    await run.inside(5)
    run.execution.stop()
    run.doors.fail(5, ConfigError("HTTP 404: no such model"))
    await run.end()
    assert run.delivered == []


async def test_a_tentative_run_makes_one_call_and_every_error_pauses_it() -> None:
    for error in (ServerError("500"), RateLimited("429", retry_after_s=FOREVER_S), ConfigError("")):
        run = Run(3, window=1, tentative=True)
        await run.inside(0)
        run.doors.fail(0, error)
        await run.end()
        assert run.execution.pause is error
        assert run.delivered == []
        assert run.doors.begun == [0]


async def test_room_is_made_at_once_where_nothing_was_paid_for() -> None:
    run = Run(30, window=2)
    await run.inside(0, 1)
    run.doors.fail(0, RateLimited("slow down", retry_after_s=FOREVER_S))
    await settle()
    run.execution.make_room()
    # What is in flight is finished; what waits, and what was not begun, is left to others.
    for index in list(run.doors.inside):
        run.doors.let(index)
    await run.let_all()
    assert set(run.done) <= {1, 2}
    assert len(run.doors.begun) <= 3


async def test_when_room_is_made_what_was_paid_for_is_tried_to_the_end() -> None:
    run = Run(30, window=2, retry=RetryPolicy(max_attempts=3, base_s=0.0))
    await run.inside(0, 1)
    run.execution.make_room()
    for _ in range(3):
        await run.inside(0)
        run.doors.fail(0, ServerError("500", retry_after_s=0.01))
        await eventually(lambda: 0 not in run.doors.inside)
    run.doors.let(1)
    await run.end()
    assert sorted(run.done) == [0, 1]
    assert run.doors.begun == [0, 1, 0, 0]
