"""Phase 3: convert exchanges into outcomes. Sequential, no I/O.

Answers were judged in phase 2, since asking the model again is another call.
"""

import logging

from batches.engine.errors import AnswerRejected, FailureKind, InternalError, ProviderError
from batches.engine.plain_text import storable_text
from batches.engine.records import (
    AskedModel,
    Exchange,
    Judgement,
    Outcome,
    RejectedAnswer,
    Reply,
    Usage,
)

logger = logging.getLogger(__name__)

MAX_MESSAGE_CHARS = 2000


def postprocess_exchange(exchange: Exchange) -> Outcome:
    """Return the outcome of one exchange, with its usage and times.

    Never raises: the call is paid for, and a bug in this program must not cause a second charge.
    """
    try:
        return _outcome_of(exchange)
    except Exception as error:
        index = exchange.request.index
        logger.exception("Post-processing the answer to prompt %d failed unexpectedly", index)
        return _failed_call(exchange, InternalError(f"{type(error).__name__}: {error}"))


def _outcome_of(exchange: Exchange) -> Outcome:
    if exchange.reply is not None and exchange.judgement is not None:
        return _answered(exchange, exchange.reply, exchange.judgement)
    if exchange.error is None:
        raise ValueError("an exchange has a reply with its judgement, or an error")
    return _failed_call(exchange, exchange.error)


def _answered(exchange: Exchange, reply: Reply, judgement: Judgement) -> Outcome:
    fault = judgement.fault
    return Outcome(
        index=exchange.request.index,
        custom_id=exchange.request.custom_id,
        status="failed" if fault else "succeeded",
        kind=fault.kind if fault else None,
        code=fault.kind.value if fault else "",
        message=_storable(_message(fault, exchange) if fault else "; ".join(reply.notes)),
        status_code=reply.status_code,
        request_id=reply.request_id,
        body=reply.body,
        answer=reply.answer,
        parsed=judgement.parsed,
        rung=judgement.rung,
        rejected=_rejected(exchange),
        asked=_asked(exchange, fault.kind if fault else None),
        finish_reason=reply.finish_reason,
        usage=sum((usage for _, usage in exchange.usages), Usage()),
        calls=exchange.calls,
        latency_s=exchange.latency_s,
        busy_s=exchange.busy_s,
        elapsed_s=exchange.elapsed_s,
        done_at=exchange.done_at,
    )


def _rejected(exchange: Exchange) -> tuple[RejectedAnswer, ...]:
    """Return the answers before the one in the reply."""
    rejected = exchange.request.rejected
    # The call that asked again has failed: the reply is the last answer that was sent back.
    return rejected[:-1] if exchange.error else rejected


def _asked(exchange: Exchange, kind: FailureKind | None) -> tuple[AskedModel, ...]:
    """Return the models that were asked, if there were several. `kind` says how the answer of the
    last one failed."""
    asked = exchange.below
    if exchange.below and exchange.calls_here:
        if exchange.error and _is_reply_from_below(exchange):
            kind = exchange.error.kind
        last = AskedModel(exchange.request.model, kind, exchange.calls_here, exchange.spent)
        asked = (*asked, last)
    return asked if len(asked) > 1 else ()


def _is_reply_from_below(exchange: Exchange) -> bool:
    """Return True if the model of the request has given no answer, which would have tokens: the
    reply is the one of the model before it."""
    return bool(exchange.below) and exchange.spent == Usage()


def _message(fault: AnswerRejected, exchange: Exchange) -> str:
    """Return the fault of an answer, and why there is no better one."""
    if exchange.error is None:
        return fault.message
    # The fault alone may fill the message; leave room for the error.
    lead = fault.message[: MAX_MESSAGE_CHARS // 2]
    whom = exchange.request.model[:100] if _is_reply_from_below(exchange) else "the model again"
    return f"{lead}; asking {whom} failed: {exchange.error.message}"


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
    """Return a message that any database can store; it may quote an answer or any exception."""
    return storable_text(message[:MAX_MESSAGE_CHARS])
