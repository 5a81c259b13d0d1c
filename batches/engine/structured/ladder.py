"""The ladder: steps (rungs) that make an answer fit its schema, the cheapest first.

    parse as received -> extract from text -> repair -> ask the model again
        -> ask a stronger model -> fail with a kind

The first rung that finds JSON decides: valid JSON that does not fit the schema is never repaired
into other JSON that does.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from batches.engine.errors import AnswerRejected, FailureKind
from batches.engine.records import (
    Judgement,
    LadderOptions,
    PreparedRequest,
    Reply,
    Rung,
    ToolCall,
)
from batches.engine.replies.finish_reasons import Ending, ending_of
from batches.engine.schemas.added_nulls import added_nulls_of
from batches.engine.schemas.schemas import is_schema_model
from batches.engine.structured.answers import Reading, Words, check_spoken, load, read_answer
from batches.engine.structured.classes import unwrapped
from batches.engine.structured.escalation import escalated
from batches.engine.structured.follow_up import follow_up

MAX_NAMED_VIOLATIONS = 5
# Faults that asking again may fix. A refusal, or a cut or filtered answer, would only be repeated.
MENDABLE = frozenset({FailureKind.EMPTY, FailureKind.NOT_JSON, FailureKind.SCHEMA_VIOLATION})

Climbed = tuple[Any, Rung | None]


def judge_reply(
    request: PreparedRequest, reply: Reply, options: LadderOptions | None = None
) -> Judgement:
    """Return the verdict on a reply, with a follow-up request if asking again may help, or another
    model is to be asked."""
    options = options or LadderOptions()
    try:
        parsed, rung = climb(request, reply, options)
    except AnswerRejected as fault:
        if fault.kind in MENDABLE and len(request.rejected) < options.max_repair_attempts:
            return Judgement(fault=fault, follow_up=follow_up(request, reply, fault))
        return Judgement(fault=fault, follow_up=escalated(request, fault.kind, options.escalate))
    if rung is not None and request.rejected:
        rung = Rung.ASKED_AGAIN
    return Judgement(parsed=parsed, rung=rung)


def climb(request: PreparedRequest, reply: Reply, options: LadderOptions) -> Climbed:
    """Return the valid value of an answer and its rung; None and None if no value was requested.

    Raise AnswerRejected, with a kind for each way in which an answer can be unusable.
    """
    if reply.fault is not None:
        raise reply.fault
    calls = reply.tool_calls
    restricted = request.tools is not None and request.tools.restricted
    if not (request.response_model or restricted or (calls and request.tool_models)):
        _check_named(reply, options)
        return None, None
    _check_finished(reply)
    if calls:
        return _fitting_calls(request, reply, options)
    if request.tools is not None and request.tools.required:
        raise _without_a_call(request, reply)
    if request.response_model is None:
        return None, None
    return _fitting(request, request.response_model, reply.answer or "", options, reply)


def _check_named(reply: Reply, options: LadderOptions) -> None:
    """Raise AnswerRejected for an answer without a schema that fails in a kind of a step."""
    named = frozenset[str]().union(*(step.when for step in options.escalate))
    if not named:
        return
    try:
        _check_finished(reply)
        if reply.answer is not None and not reply.tool_calls:
            check_spoken(reply.answer)
    except AnswerRejected as fault:
        if fault.kind.value in named:
            raise


def _check_finished(reply: Reply) -> None:
    if reply.refusal:
        raise AnswerRejected(FailureKind.REFUSAL, f"the model refused: {reply.refusal}")
    said = f"finish reason {reply.finish_reason!r}"
    match ending_of(reply.finish_reason):
        case Ending.CUT:
            message = f"the answer was cut off at the token limit ({said})"
            raise AnswerRejected(FailureKind.TRUNCATED, message)
        case Ending.FILTERED:
            message = f"the provider's content filter cut the answer ({said})"
            raise AnswerRejected(FailureKind.FILTERED, message)
        case Ending.ERROR:
            message = f"the provider broke off the answer ({said})"
            raise AnswerRejected(FailureKind.TRUNCATED, message)


def _without_a_call(request: PreparedRequest, reply: Reply) -> AnswerRejected:
    """Return the fault of an answer that calls no tool although the request demands a call."""
    if _reached_limit(request, reply):
        message = "the answer reached the token limit before it called a tool"
        return AnswerRejected(FailureKind.TRUNCATED, message)
    message = "the answer calls no tool, and the request demands a call"
    return AnswerRejected(FailureKind.SCHEMA_VIOLATION, message)


def _reached_limit(request: PreparedRequest, reply: Reply) -> bool:
    """Return True if the answer has as many tokens as were allowed, for any finish reason.

    Estimated tokens are not compared with the limit.
    """
    limit, usage = request.max_output_tokens, reply.usage
    return limit is not None and not usage.is_estimated and usage.output_tokens >= limit


def _fitting_calls(request: PreparedRequest, reply: Reply, options: LadderOptions) -> Climbed:
    """Return the tool calls with valid arguments, and the highest rung of them.

    Return None and None if only the choice of the tool had to be checked.
    """
    allowed = request.tool_models.keys() if request.tools is None else request.tools.allowed
    parsed, highest = [], Rung.PARSED
    for call in reply.tool_calls:
        if call.name not in allowed:
            message = f"the request does not allow a call of the tool {call.name[:100]!r}"
            raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, message)
        try:
            arguments, rung = _arguments(request, call, options, reply)
        except AnswerRejected as fault:
            message = f"arguments of {call.name}: {fault.message}"
            raise AnswerRejected(fault.kind, message) from fault
        highest = max(highest, rung or highest, key=list(Rung).index)
        parsed.append({"name": call.name, "arguments": arguments})
    return (parsed, highest) if request.tool_models else (None, None)


def _arguments(
    request: PreparedRequest, call: ToolCall, options: LadderOptions, reply: Reply
) -> Climbed:
    """Return the arguments of a call; without a schema, unchanged if they are complete."""
    model = request.tool_models.get(call.name)
    if model is not None:
        return _fitting(request, model, call.arguments, options, reply)
    if Words(call.arguments).end_inside:
        raise AnswerRejected(FailureKind.TRUNCATED, "they end inside a value")
    return call.arguments, None


def _fitting(
    request: PreparedRequest,
    model: type[BaseModel],
    answer: str,
    options: LadderOptions,
    reply: Reply,
) -> Climbed:
    ended = ending_of(reply.finish_reason) in {Ending.COMPLETE, Ending.TOOL}
    limited = _reached_limit(request, reply)
    found = read_answer(answer, options, is_ended=ended and not limited, reached_limit=limited)
    value = _fitting_value(request, model, found.reading)
    for rival in found.rivals:
        if _fits(request, model, rival) and not rival.says_the_same_as(found.reading):
            message = "the answer has several JSON values that fit, and they differ"
            raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, message)
    return value, found.reading.rung


def _fits(request: PreparedRequest, model: type[BaseModel], reading: Reading) -> bool:
    try:
        _fitting_value(request, model, reading)
    except AnswerRejected:
        return False
    return True


def _fitting_value(request: PreparedRequest, model: type[BaseModel], reading: Reading) -> Any:
    first: ValidationError | None = None
    for meant in _meanings(model, reading.text) if request.optional_as_null else ():
        try:
            return _validated(model, to_json(meant).decode(), meant)
        except ValidationError as error:
            first = first or error
    try:
        return _validated(model, reading.text, reading.value)
    except ValidationError as error:
        violations = _violations(first or error)
        raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, violations) from error


def _meanings(model: type[BaseModel], text: str) -> Iterator[Any]:
    """Yield the answer with added nulls removed, in the possible ways, the likeliest first."""
    if "null" not in text:
        return
    for all_doubtful in (False, True):
        value = load(text)
        if added_nulls_of(model).take_out(value, all_doubtful=all_doubtful):
            yield value


def _validated(model: type[BaseModel], text: str, value: Any) -> Any:
    if is_schema_model(model):
        model.model_validate(value)
        return value
    try:
        return unwrapped(model.model_validate_json(text))
    except ValidationError:
        raise
    except Exception as error:
        # The user's class may have validators that raise any error; the answer does not fit then.
        message = f"the response model failed: {type(error).__name__}: {error}"
        raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, message) from error


def _violations(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    named = [
        f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}"
        for fault in faults[:MAX_NAMED_VIOLATIONS]
    ]
    if len(faults) > MAX_NAMED_VIOLATIONS:
        named.append(f"and {len(faults) - MAX_NAMED_VIOLATIONS} more")
    return "; ".join(named)
