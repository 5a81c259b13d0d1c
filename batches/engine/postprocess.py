"""Phase 3: an exchange becomes an outcome. Sequential, no I/O."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from batches.engine.errors import AnswerRejected, FailureKind, ProviderError
from batches.engine.records import Exchange, Outcome, PreparedRequest, Reply

MAX_NAMED_VIOLATIONS = 5
MAX_MESSAGE_CHARS = 2000


def postprocess_exchange(exchange: Exchange) -> Outcome:
    """The outcome of one exchange: its answer checked against the schema, if one was asked for."""
    if exchange.error is not None:
        return _failed_call(exchange, exchange.error)
    if exchange.reply is None:
        raise ValueError("an exchange has a reply or an error")
    try:
        parsed = parse_answer(exchange.request, exchange.reply)
    except AnswerRejected as error:
        return _answered(exchange, exchange.reply, fault=error)
    return _answered(exchange, exchange.reply, parsed=parsed)


def parse_answer(request: PreparedRequest, reply: Reply) -> Any:
    """The answer as JSON that fits the schema; None where no schema was asked for.

    Raises AnswerRejected with a kind for each way an answer can be of no use.
    """
    if request.response_model is None:
        return None
    _check_finished(reply)
    if not reply.answer or not reply.answer.strip():
        raise AnswerRejected(FailureKind.EMPTY, "the answer is empty")
    try:
        value = from_json(reply.answer, allow_inf_nan=False)
    except ValueError as error:
        raise AnswerRejected(FailureKind.NOT_JSON, f"the answer is not JSON: {error}") from error
    try:
        request.response_model.model_validate(value)
    except ValidationError as error:
        raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, _violations(error)) from error
    return value


def _check_finished(reply: Reply) -> None:
    if reply.refusal:
        raise AnswerRejected(FailureKind.REFUSAL, f"the model refused: {reply.refusal}")
    if reply.finish_reason == "length":
        raise AnswerRejected(FailureKind.TRUNCATED, "the answer was cut off at the token limit")
    if reply.finish_reason == "content_filter":
        raise AnswerRejected(FailureKind.FILTERED, "the provider's content filter cut the answer")


def _violations(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    named = [
        f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}"
        for fault in faults[:MAX_NAMED_VIOLATIONS]
    ]
    if len(faults) > MAX_NAMED_VIOLATIONS:
        named.append(f"and {len(faults) - MAX_NAMED_VIOLATIONS} more")
    return "; ".join(named)


def _answered(
    exchange: Exchange, reply: Reply, *, parsed: Any = None, fault: AnswerRejected | None = None
) -> Outcome:
    return Outcome(
        index=exchange.request.index,
        custom_id=exchange.request.custom_id,
        status="failed" if fault else "succeeded",
        kind=fault.kind if fault else None,
        code=fault.kind.value if fault else "",
        message=_storable(fault.message) if fault else "",
        status_code=reply.status_code,
        request_id=reply.request_id,
        body=reply.body,
        answer=reply.answer,
        parsed=parsed,
        finish_reason=reply.finish_reason,
        usage=reply.usage,
        calls=exchange.calls,
        latency_s=exchange.latency_s,
        busy_s=exchange.busy_s,
        elapsed_s=exchange.elapsed_s,
        done_at=exchange.done_at,
    )


def _failed_call(exchange: Exchange, error: ProviderError) -> Outcome:
    return Outcome(
        index=exchange.request.index,
        custom_id=exchange.request.custom_id,
        status="failed",
        kind=error.kind,
        code=error.code or error.kind.value,
        message=_storable(error.message),
        status_code=error.status_code,
        request_id=error.request_id,
        body=error.body,
        calls=exchange.calls,
        latency_s=exchange.latency_s,
        busy_s=exchange.busy_s,
        elapsed_s=exchange.elapsed_s,
        done_at=exchange.done_at,
    )


def _storable(message: str) -> str:
    """A message that any database takes: it may quote an answer, or be of any exception."""
    text = message[:MAX_MESSAGE_CHARS].replace("\x00", "\ufffd")
    return text.encode("utf-8", "replace").decode()
