"""The three phases together, over calls whose end a test decides."""

import asyncio
import inspect
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import pytest

from batches.engine.endpoints import ENDPOINTS
from batches.engine.errors import AuthError, ConfigError, FailureKind, QuotaError, ServerError
from batches.engine.execute import ExecutionOptions
from batches.engine.processor import ProcessedBatch, process_prompt_batch
from batches.engine.records import (
    DEFAULT_BATCH_SIZE,
    SCHEDULES,
    PreparedRequest,
    PromptSpec,
    Reply,
    Schedule,
)
from batches.engine.retry import RetryPolicy
from tests.engine.doors import Doors, settle
from tests.engine.makers import MODEL, reply
from tests.waiting import PATIENCE_S, eventually

DEFAULTS = {"model": MODEL}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def echo(request: PreparedRequest) -> Reply:
    """A provider that answers with the text it was asked, at once."""
    return reply(json.loads(request.content)["messages"][0]["content"])


def texts_of(batch: ProcessedBatch) -> list[str | None]:
    return [outcome.answer for outcome in batch.outcomes]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("batch_size", [1, 3, 100])
async def test_each_prompt_has_its_own_answer_in_the_order_of_the_prompts(
    schedule: Schedule, batch_size: int
) -> None:
    prompts = [f"prompt {number}" for number in range(25)]
    batch = await process_prompt_batch(
        prompts, send=echo, defaults=DEFAULTS, schedule=schedule, batch_size=batch_size
    )
    assert texts_of(batch) == prompts
    assert [outcome.index for outcome in batch.outcomes] == list(range(25))
    assert (batch.succeeded, batch.failed) == (25, 0)
    assert batch.timing.answered == 25


async def test_no_prompts_make_an_empty_batch() -> None:
    batch = await process_prompt_batch([], send=echo)
    assert (batch.outcomes, batch.succeeded, batch.failed) == ([], 0, 0)
    assert batch.timing.first_result_s is None


async def test_prompts_may_come_from_a_generator() -> None:
    batch = await process_prompt_batch(
        (f"prompt {number}" for number in range(5)), send=echo, defaults=DEFAULTS
    )
    assert texts_of(batch) == [f"prompt {number}" for number in range(5)]


async def test_a_prompt_is_a_text_a_body_or_a_spec() -> None:
    messages = [{"role": "user", "content": "b"}]
    prompts: list[PromptSpec | Mapping[str, Any] | str] = [
        "a",
        {"messages": messages},
        PromptSpec(99, "mine", {"messages": [{"role": "user", "content": "c"}]}),
        {"messages": messages, "model": "another"},
    ]
    sent: list[dict[str, Any]] = []

    async def send(request: PreparedRequest) -> Reply:
        sent.append(json.loads(request.content))
        return await echo(request)

    batch = await process_prompt_batch(prompts, send=send, defaults=DEFAULTS, batch_size=1)
    assert texts_of(batch) == ["a", "b", "c", "b"]
    # A spec keeps its name; its place is where it stands in the list.
    names = [(outcome.index, outcome.custom_id) for outcome in batch.outcomes]
    assert names == [(0, "request-0"), (1, "request-1"), (2, "mine"), (3, "request-3")]
    assert [body["model"] for body in sent] == [MODEL, MODEL, MODEL, "another"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_text_is_asked_in_the_dialect_of_the_endpoint(endpoint: str) -> None:
    sent: list[PreparedRequest] = []

    async def send(request: PreparedRequest) -> Reply:
        sent.append(request)
        return reply()

    batch = await process_prompt_batch(["hi"], send=send, endpoint=endpoint, defaults=DEFAULTS)
    assert batch.succeeded == 1
    assert sent[0].endpoint == endpoint
    assert b"hi" in sent[0].content


async def test_a_rejected_prompt_costs_no_call_and_keeps_its_place() -> None:
    sent: list[int] = []

    async def send(request: PreparedRequest) -> Reply:
        sent.append(request.index)
        return await echo(request)

    prompts: list[Mapping[str, Any] | str] = ["a", {"messages": []}, "c", {"stream": True}, "e"]
    batch = await process_prompt_batch(prompts, send=send, defaults=DEFAULTS, batch_size=2)
    assert texts_of(batch) == ["a", None, "c", None, "e"]
    assert [outcome.kind for outcome in batch.outcomes] == [
        None,
        FailureKind.REJECTED,
        None,
        FailureKind.REJECTED,
        None,
    ]
    assert sent == [0, 2, 4]
    assert (batch.succeeded, batch.failed, batch.timing.answered) == (3, 2, 3)


async def test_a_batch_of_rejected_prompts_sends_nothing() -> None:
    batch = await process_prompt_batch(["a", "b"], send=echo, defaults={})
    assert [outcome.kind for outcome in batch.outcomes] == [FailureKind.REJECTED] * 2
    assert batch.timing.answered == 0
    assert batch.timing.first_result_s is None


async def test_answers_are_checked_against_the_schema_that_was_asked_for() -> None:
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    batch = await process_prompt_batch(
        ['{"n": 1}', '{"n": "x"}', "no"],
        send=echo,
        defaults={**DEFAULTS, "response_format": asked},
    )
    assert [outcome.parsed for outcome in batch.outcomes] == [{"n": 1}, None, None]
    assert [outcome.kind for outcome in batch.outcomes] == [
        None,
        FailureKind.SCHEMA_VIOLATION,
        FailureKind.NOT_JSON,
    ]


def test_a_hundred_calls_are_in_flight_unless_told_otherwise() -> None:
    parameters = inspect.signature(process_prompt_batch).parameters
    assert parameters["batch_size"].default == 100
    assert DEFAULT_BATCH_SIZE == ExecutionOptions().batch_size == 100


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_hundred_calls_really_are_in_flight(schedule: Schedule) -> None:
    doors = Doors()
    run = asyncio.create_task(
        process_prompt_batch(["hi"] * 250, send=doors.send, defaults=DEFAULTS, schedule=schedule)
    )
    await eventually(lambda: len(doors.inside) == 100)
    await settle()
    assert len(doors.begun) == 100
    await doors.let_all(until=run.done)
    assert (await run).succeeded == 250
    assert doors.most_inside == 100


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("cls", [AuthError, QuotaError])
async def test_what_a_pause_leaves_unsent_fails_with_that_error(
    cls: type[AuthError], schedule: Schedule
) -> None:
    error = cls("HTTP 401: no", status_code=401, code="invalid_api_key", body='{"error":{}}')

    async def send(request: PreparedRequest) -> Reply:
        if request.index == 2:
            raise error
        return await echo(request)

    prompts = [f"prompt {number}" for number in range(9)]
    batch = await process_prompt_batch(
        prompts, send=send, defaults=DEFAULTS, batch_size=1, schedule=schedule
    )
    assert texts_of(batch) == [*prompts[:2], *[None] * 7]
    for outcome in batch.outcomes[2:]:
        assert (outcome.status, outcome.kind) == ("failed", cls.kind)
        assert (outcome.code, outcome.message) == ("invalid_api_key", "HTTP 401: no")
    assert [outcome.calls for outcome in batch.outcomes[3:]] == [0] * 6
    assert (batch.succeeded, batch.failed) == (2, 7)
    assert batch.timing.answered == 2


async def test_the_rest_of_a_run_that_is_set_up_wrongly_fails_with_that_fault() -> None:
    calls = 0

    async def send(request: PreparedRequest) -> Reply:
        nonlocal calls
        calls += 1
        raise ConfigError("HTTP 404: no such model", status_code=404)

    batch = await process_prompt_batch(["hi"] * 200, send=send, defaults=DEFAULTS, batch_size=1)
    assert calls == 20
    assert {outcome.kind for outcome in batch.outcomes} == {FailureKind.CONFIG}
    assert {outcome.message for outcome in batch.outcomes} == {"HTTP 404: no such model"}


async def test_the_options_of_a_run_reach_its_calls() -> None:
    calls = 0

    async def send(request: PreparedRequest) -> Reply:
        nonlocal calls
        calls += 1
        raise ServerError("HTTP 500: no")

    batch = await process_prompt_batch(
        ["hi"], send=send, defaults=DEFAULTS, retry=RetryPolicy(max_attempts=3, base_s=0.0)
    )
    assert calls == batch.outcomes[0].calls == 3
    assert batch.outcomes[0].kind is FailureKind.SERVER


async def test_a_hanging_call_is_cut_and_its_neighbours_are_not() -> None:
    async def send(request: PreparedRequest) -> Reply:
        if request.index == 1:
            await asyncio.Event().wait()
        return await echo(request)

    batch = await process_prompt_batch(
        ["a", "b", "c"],
        send=send,
        defaults=DEFAULTS,
        timeout_s=0.05,
        retry=RetryPolicy(max_attempts=1),
    )
    assert texts_of(batch) == ["a", None, "c"]
    assert batch.outcomes[1].kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_the_first_result_is_that_of_the_first_answer(schedule: Schedule) -> None:
    doors = Doors()
    began = time.perf_counter()
    run = asyncio.create_task(
        process_prompt_batch(["hi"] * 4, send=doors.send, defaults=DEFAULTS, schedule=schedule)
    )
    await eventually(lambda: len(doors.inside) == 4)
    for index in (2, 0, 3, 1):
        # What a call takes; the order of the answers is ours.
        await asyncio.sleep(0.01)
        doors.let(index)
        await settle()
    async with asyncio.timeout(PATIENCE_S):
        batch = await run
    took = time.perf_counter() - began
    done = [outcome.done_at or 0.0 for outcome in batch.outcomes]
    assert sorted(range(4), key=done.__getitem__) == [2, 0, 3, 1]
    first, total = batch.timing.first_result_s, batch.timing.total_s
    assert first is not None
    assert 0.01 * 0.99 <= first < total <= took
    assert total - first == pytest.approx(done[1] - done[2])
    # Between the start and the call there may be any time.
    assert first >= (batch.outcomes[2].latency_s or first)


async def test_the_timing_is_that_of_the_outcomes() -> None:
    async def send(request: PreparedRequest) -> Reply:
        await asyncio.sleep(0.002 * (request.index % 5))
        return await echo(request)

    batch = await process_prompt_batch(["hi"] * 20, send=send, defaults=DEFAULTS, batch_size=4)
    latencies = sorted(outcome.latency_s for outcome in batch.outcomes)
    timing = batch.timing
    assert timing.average_s == pytest.approx(sum(latencies) / 20)
    assert (timing.p50_s, timing.p95_s) == (latencies[9], latencies[18])
    assert timing.prompts_per_s == pytest.approx(20 / timing.total_s)
    assert timing.speed_up == pytest.approx(sum(latencies) / timing.total_s)


async def test_the_performance_of_a_run_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def send(request: PreparedRequest) -> Reply:
        await asyncio.sleep(0.001)
        if request.index == 1:
            raise ServerError("HTTP 500: no")
        return await echo(request)

    with caplog.at_level(logging.INFO, logger="batches.engine.processor"):
        batch = await process_prompt_batch(
            ["a", "b", "c"], send=send, defaults=DEFAULTS, retry=RetryPolicy(max_attempts=1)
        )
    [record] = [r for r in caplog.records if r.name == "batches.engine.processor"]
    message = record.getMessage()
    timing = batch.timing
    assert record.levelno == logging.INFO
    assert "3 prompts: 2 succeeded, 1 failed" in message
    assert f"total {timing.total_s:.3f} s" in message
    assert f"average {timing.average_s:.3f} s per request" in message
    assert f"first result after {timing.first_result_s:.3f} s" in message
