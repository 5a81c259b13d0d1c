"""Short ways to make the engine's values."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from batches.engine.errors import ProviderError
from batches.engine.records import Exchange, PreparedRequest, RejectedAnswer, Reply, Usage
from batches.engine.schemas.keywords import Schema
from batches.engine.schemas.schemas import response_model
from batches.engine.structured.ladder import judge_reply

MODEL = "test-model"
REJECTED = RejectedAnswer("no", "not JSON")


def request(index: int = 0, *, schema: Schema | None = None, **changes: Any) -> PreparedRequest:
    values: dict[str, Any] = {
        "index": index,
        "custom_id": f"request-{index}",
        "endpoint": "/v1/chat/completions",
        "content": b"{}",
        "response_model": None if schema is None else response_model(schema),
    }
    return PreparedRequest(**{**values, **changes})


def reply(answer: str | None = "an answer", **changes: Any) -> Reply:
    values: dict[str, Any] = {
        "status_code": 200,
        "request_id": "req_1",
        "body": "{}",
        "answer": answer,
        "finish_reason": "stop",
        "refusal": None,
        "usage": Usage(input_tokens=5, output_tokens=7),
    }
    return Reply(**{**values, **changes})


def exchange(
    of: PreparedRequest | None = None,
    *,
    reply: Reply | None = None,
    error: ProviderError | None = None,
) -> Exchange:
    """Return an exchange whose reply is judged as in phase 2."""
    of = of or request()
    return Exchange(
        request=of,
        reply=reply,
        error=error,
        calls=3,
        latency_s=0.25,
        busy_s=0.75,
        sent_at=100.0,
        done_at=102.0,
        judgement=judge_reply(of, reply) if reply else None,
        spent=reply.usage if reply else Usage(),
    )


def accepts(schema: Schema, value: Any) -> bool:
    """Whether the model of a schema takes a value."""
    try:
        response_model(schema).model_validate(value)
    except ValidationError:
        return False
    return True


async def in_chunks(
    requests: Iterable[PreparedRequest], size: int
) -> AsyncIterator[Sequence[PreparedRequest]]:
    chunk: list[PreparedRequest] = []
    for one in requests:
        chunk.append(one)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
