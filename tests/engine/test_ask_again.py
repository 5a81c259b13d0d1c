"""An answer that does not fit is asked for again in the same lane, and all of it is counted."""

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel

from batches.engine.errors import (
    AuthError,
    FailureKind,
    ProviderError,
    RequestRefused,
    ServerError,
)
from batches.engine.processor import ProcessedBatch, process_prompt_batch
from batches.engine.records import (
    SCHEDULES,
    LadderOptions,
    Outcome,
    PreparedRequest,
    Reply,
    Rung,
    Schedule,
    Usage,
)
from batches.engine.retry import RetryPolicy
from tests.engine.makers import MODEL, reply
from tests.waiting import PATIENCE_S

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ASKED = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
Step = str | ProviderError


class Script:
    """A provider that says one thing after the other to each prompt."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.sent: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0

    async def send(self, request: PreparedRequest) -> Reply:
        self.sent.append(json.loads(request.content))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        step = self.steps[min(len(self.sent), len(self.steps)) - 1]
        if isinstance(step, ProviderError):
            raise step
        return reply(step)

    async def run(self, *, prompts: int = 1, **options: Any) -> ProcessedBatch:
        values: dict[str, Any] = {
            "defaults": {"model": MODEL, "response_format": ASKED},
            "retry": RetryPolicy(max_attempts=2, base_s=0.0),
            **options,
        }
        async with asyncio.timeout(PATIENCE_S):
            return await process_prompt_batch(["hi"] * prompts, send=self.send, **values)

    async def outcome(self, **options: Any) -> Outcome:
        return (await self.run(**options)).outcomes[0]


async def test_the_second_answer_is_the_one_that_counts() -> None:
    script = Script("no", '{"n": 1}')
    outcome = await script.outcome()
    assert (outcome.status, outcome.parsed, outcome.rung) == (
        "succeeded",
        {"n": 1},
        Rung.ASKED_AGAIN,
    )
    assert outcome.answer == '{"n": 1}'
    assert [len(body["messages"]) for body in script.sent] == [1, 3]


async def test_both_answers_are_paid_for() -> None:
    outcome = await Script("no", '{"n": 1}').outcome()
    assert outcome.calls == 2
    assert outcome.usage == Usage(input_tokens=10, output_tokens=14)
    assert outcome.busy_s >= outcome.latency_s > 0
    assert outcome.elapsed_s >= outcome.busy_s


@pytest.mark.parametrize("attempts", [0, 1, 3])
async def test_it_is_asked_as_often_as_was_allowed(attempts: int) -> None:
    script = Script("no")
    outcome = await script.outcome(ladder=LadderOptions(max_repair_attempts=attempts))
    assert (outcome.kind, outcome.calls) == (FailureKind.NOT_JSON, attempts + 1)
    assert outcome.usage.input_tokens == 5 * (attempts + 1)
    assert len(script.sent) == attempts + 1


async def test_a_failed_call_of_the_second_question_is_tried_again() -> None:
    outcome = await Script("no", ServerError("HTTP 500"), '{"n": 1}').outcome()
    assert (outcome.rung, outcome.calls) == (Rung.ASKED_AGAIN, 3)


async def test_the_second_question_has_attempts_of_its_own() -> None:
    error = ServerError("HTTP 500")
    outcome = await Script(error, "no", error, '{"n": 1}').outcome()
    assert (outcome.rung, outcome.calls) == (Rung.ASKED_AGAIN, 4)


@pytest.mark.parametrize("error", [ServerError("HTTP 500"), RequestRefused("HTTP 400")])
async def test_if_the_second_question_fails_the_first_answer_is_the_outcome(
    error: ProviderError,
) -> None:
    outcome = await Script('{"n": "x"}', error).outcome()
    assert (outcome.kind, outcome.status_code) == (FailureKind.SCHEMA_VIOLATION, 200)
    assert outcome.answer == '{"n": "x"}'
    assert outcome.calls == (3 if isinstance(error, ServerError) else 2)
    assert outcome.usage == Usage(input_tokens=5, output_tokens=7)
    assert outcome.message.startswith("n: ")
    assert error.message in outcome.message


async def test_a_pause_over_the_second_question_does_not_lose_the_first_answer() -> None:
    script = Script("no", AuthError("HTTP 401", status_code=401))
    batch = await script.run(prompts=3, batch_size=1)
    kinds = [outcome.kind for outcome in batch.outcomes]
    assert kinds == [FailureKind.NOT_JSON, FailureKind.AUTH, FailureKind.AUTH]
    assert [outcome.calls for outcome in batch.outcomes] == [2, 0, 0]


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_the_window_holds_with_second_questions_too(schedule: Schedule) -> None:
    script = Script("no")
    batch = await script.run(prompts=20, batch_size=4, schedule=schedule)
    assert script.most_in_flight == 4
    assert {outcome.calls for outcome in batch.outcomes} == {2}
    assert [outcome.index for outcome in batch.outcomes] == list(range(20))


async def test_an_answer_that_fits_is_not_asked_for_again() -> None:
    script = Script('{"n": 1}')
    assert (await script.outcome()).calls == len(script.sent) == 1


class City(BaseModel):
    """A place."""

    name: str
    people: int = 3


async def test_a_class_is_asked_for_and_comes_back_as_instances() -> None:
    script = Script('{"name": "Ulm", "people": null}')
    outcome = await script.outcome(defaults={"model": MODEL}, response_model=City)
    assert outcome.parsed == City(name="Ulm")
    asked = script.sent[0]["response_format"]["json_schema"]
    assert (asked["name"], asked["strict"]) == ("City", True)
    assert asked["schema"]["required"] == ["name", "people"]
    assert asked["schema"]["additionalProperties"] is False


async def test_a_prompt_with_a_schema_of_its_own_is_not_of_the_class() -> None:
    script = Script('{"n": 1}')
    body = {"messages": [{"role": "user", "content": "hi"}], "response_format": ASKED}
    batch = await process_prompt_batch(
        [body], send=script.send, defaults={"model": MODEL}, response_model=City
    )
    assert batch.outcomes[0].parsed == {"n": 1}


async def test_what_a_class_refuses_is_asked_for_again_with_its_reasons() -> None:
    script = Script('{"name": 5}', '{"name": "Ulm", "people": 1}')
    outcome = await script.outcome(defaults={"model": MODEL}, response_model=City)
    assert (outcome.parsed, outcome.rung) == (City(name="Ulm", people=1), Rung.ASKED_AGAIN)
    assert "name: Input should be a valid string" in script.sent[1]["messages"][-1]["content"]
