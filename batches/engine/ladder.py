"""How an answer comes to fit its schema: rungs to climb, the cheapest first.

    as it came -> without what stands around it -> mended -> asked again -> a typed failure

The first rung that finds JSON decides: what is JSON and does not fit is never mended into
something else that does.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from batches.engine.added_nulls import added_nulls_of
from batches.engine.classes import unwrapped
from batches.engine.errors import AnswerRejected, FailureKind
from batches.engine.excerpts import json_within
from batches.engine.follow_up import follow_up
from batches.engine.records import (
    Judgement,
    LadderOptions,
    PreparedRequest,
    Reply,
    Rung,
    ToolCall,
)
from batches.engine.repair import repaired_json
from batches.engine.schemas import is_schema_model

MAX_NAMED_VIOLATIONS = 5
# Faults that another try may mend. A refusal, a cut or filtered answer would only come again.
MENDABLE = frozenset({FailureKind.EMPTY, FailureKind.NOT_JSON, FailureKind.SCHEMA_VIOLATION})

_HUGE = re.compile(r"[eE]\+?\d{3}|\d{300}")

Climbed = tuple[Any, Rung | None]


def judge_reply(
    request: PreparedRequest, reply: Reply, options: LadderOptions | None = None
) -> Judgement:
    """What a reply is worth, with the request that asks again where that may help."""
    options = options or LadderOptions()
    try:
        parsed, rung = climb(request, reply, options)
    except AnswerRejected as fault:
        again = fault.kind in MENDABLE and request.asked_again < options.max_repair_attempts
        return Judgement(fault=fault, follow_up=follow_up(request, reply, fault) if again else None)
    if rung is not None and request.asked_again:
        rung = Rung.ASKED_AGAIN
    return Judgement(parsed=parsed, rung=rung)


def climb(request: PreparedRequest, reply: Reply, options: LadderOptions) -> Climbed:
    """The value of an answer that fits, and by what rung; None and None where none was asked for.

    Raises AnswerRejected with a kind for each way an answer can be of no use.
    """
    if reply.fault is not None:
        raise reply.fault
    if reply.tool_calls and request.tool_models:
        _check_finished(reply)
        return _fitting_calls(request, reply.tool_calls, options)
    if request.response_model is None or reply.tool_calls:
        return None, None
    _check_finished(reply)
    if not reply.answer or not reply.answer.strip():
        raise AnswerRejected(FailureKind.EMPTY, "the answer is empty")
    return _fitting(request, request.response_model, reply.answer, options)


def _check_finished(reply: Reply) -> None:
    if reply.refusal:
        raise AnswerRejected(FailureKind.REFUSAL, f"the model refused: {reply.refusal}")
    if reply.finish_reason == "length":
        raise AnswerRejected(FailureKind.TRUNCATED, "the answer was cut off at the token limit")
    if reply.finish_reason == "content_filter":
        raise AnswerRejected(FailureKind.FILTERED, "the provider's content filter cut the answer")


def _fitting_calls(
    request: PreparedRequest, calls: tuple[ToolCall, ...], options: LadderOptions
) -> Climbed:
    """The calls of tools with arguments that fit; the rung is the highest of them."""
    parsed, highest = [], Rung.PARSED
    for call in calls:
        if call.name not in request.tool_models:
            message = f"there is no tool {call.name!r}"
            raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, message)
        model = request.tool_models[call.name]
        arguments: Any = call.arguments
        if model is not None:
            try:
                arguments, rung = _fitting(request, model, call.arguments, options)
            except AnswerRejected as fault:
                message = f"arguments of {call.name}: {fault.message}"
                raise AnswerRejected(fault.kind, message) from fault
            highest = max(highest, rung or highest, key=list(Rung).index)
        parsed.append({"name": call.name, "arguments": arguments})
    return parsed, highest


def _fitting(
    request: PreparedRequest, model: type[BaseModel], answer: str, options: LadderOptions
) -> Climbed:
    text, value, rung = _read(answer, options)
    first: ValidationError | None = None
    for meant in _meanings(model, text) if request.optional_as_null else ():
        try:
            return _validated(model, to_json(meant).decode(), meant), rung
        except ValidationError as error:
            first = first or error
    try:
        return _validated(model, text, value), rung
    except ValidationError as error:
        violations = _violations(first or error)
        raise AnswerRejected(FailureKind.SCHEMA_VIOLATION, violations) from error


def _meanings(model: type[BaseModel], text: str) -> Iterator[Any]:
    """What an answer in the strict form may mean, other than what it says: the likeliest first."""
    if "null" not in text:
        return
    for all_doubtful in (False, True):
        value = _loaded(text)
        if added_nulls_of(model).take_out(value, all_doubtful=all_doubtful):
            yield value


def _read(answer: str, options: LadderOptions) -> tuple[str, Any, Rung]:
    """The JSON in an answer as text and as value, and by what rung it was found."""
    try:
        return answer, _loaded(answer), Rung.PARSED
    except ValueError as error:
        fault = AnswerRejected(FailureKind.NOT_JSON, f"the answer is not JSON: {error}")
    excerpt = json_within(answer)
    if excerpt is None or not (options.extract_json or excerpt.text == answer.strip()):
        raise fault
    text, rung = excerpt.text, Rung.EXTRACTED
    if not excerpt.sound:
        mended = repaired_json(text) if options.repair_json else None
        if mended is None:
            raise fault
        text, rung = mended, Rung.REPAIRED
    try:
        return text, _loaded(text), rung
    except ValueError:
        raise fault from None


def _loaded(text: str) -> Any:
    # It goes no deeper than 200 levels: neither it nor what walks the value can be overrun.
    value = from_json(text, allow_inf_nan=False)
    if _HUGE.search(text):
        # A number too large for a float was read as an infinity, which is none of JSON's.
        json.dumps(value, allow_nan=False)
    return value


def _validated(model: type[BaseModel], text: str, value: Any) -> Any:
    if is_schema_model(model):
        model.model_validate(value)
        return value
    try:
        return unwrapped(model.model_validate_json(text))
    except ValidationError:
        raise
    except Exception as error:
        # A validator of somebody's class: whatever it trips over, the answer is not what it takes.
        message = f"the model could not take it: {type(error).__name__}: {error}"
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
