"""A JSON Schema of 20 fields: to make its model, to check an answer, to climb the ladder."""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import BaseModel

from batches.engine.records import LadderOptions, PreparedRequest, Reply, Usage
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.ladder import judge_reply
from benchmarks.tools import Row

TITLE = "A schema of 20 fields"
MODELS = 50
ROUNDS = 50
CALLS = 200

KINDS: list[dict[str, Any]] = [
    {"type": "string", "minLength": 1},
    {"type": "integer", "minimum": 0},
    {"type": "number"},
    {"type": "boolean"},
    {"enum": ["red", "green", "blue"]},
    {"type": "array", "items": {"type": "string"}},
    {"type": ["string", "null"]},
    {"type": "string", "pattern": "^[a-z]+$"},
]
VALUES: list[Any] = ["some text", 42, 1.5, True, "green", ["a", "b"], None, "word"]


def schema_of(number: int) -> dict[str, Any]:
    """A schema of 20 fields, another for each number."""
    fields = {f"field_{number}_{n}": KINDS[n % len(KINDS)] for n in range(20)}
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def measure() -> list[Row]:
    # The first of all loads what the others find loaded.
    response_model(schema_of(MODELS))
    builds = [seconds(partial(response_model, schema_of(number))) for number in range(MODELS)]
    value = {f"field_0_{n}": VALUES[n % len(VALUES)] for n in range(20)}
    model = response_model(schema_of(0))
    text = json.dumps(value)
    return [
        Row("making the model, median", 1e3 * statistics.median(builds), "ms", bar=5),
        Row("making the model, slowest of 50", 1e3 * max(builds), "ms"),
        Row("finding the model of an equal schema", cost_us(response_model, schema_of(0)), "µs"),
        Row("checking a value", cost_us(model.model_validate, value), "µs", bar=30),
        Row("from reply to judgement, JSON as it came", judging_us(model, text), "µs"),
        Row("the same in a fence", judging_us(model, f"```json\n{text}\n```"), "µs"),
        Row("the same with a comma too many", judging_us(model, f"{text[:-1]},}}"), "µs"),
    ]


def judging_us(model: type[BaseModel], answer: str) -> float:
    request = PreparedRequest(0, "a", "/v1/chat/completions", b"{}", response_model=model)
    reply = Reply(200, "", "{}", answer, "stop", None, Usage())
    if judge_reply(request, reply, LadderOptions()).fault is not None:
        raise AssertionError(answer)
    return cost_us(judge_reply, request, reply, LadderOptions())


def cost_us(function: Callable[..., object], *arguments: object) -> float:
    """What a call takes: the median of rounds, since the machine does other things too."""

    def calls() -> None:
        for _ in range(CALLS):
            function(*arguments)

    return statistics.median(seconds(calls) for _ in range(ROUNDS)) / CALLS * 1e6


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
