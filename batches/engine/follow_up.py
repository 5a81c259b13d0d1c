"""The request that asks again: the same conversation, the answer, and what is wrong with it."""

import json
from dataclasses import replace
from typing import Any

from batches.engine.errors import AnswerRejected
from batches.engine.records import PreparedRequest, Reply

MAX_QUOTED_CHARS = 32_000
MAX_REASON_CHARS = 2_000

Item = dict[str, Any]


def follow_up(request: PreparedRequest, reply: Reply, fault: AnswerRejected) -> PreparedRequest:
    """The request that asks for a better answer than this one."""
    body: Item = json.loads(request.content)
    complaint = (
        f"That cannot be used: {fault.message[:MAX_REASON_CHARS]}\n"
        "Answer again, with nothing but JSON that fits the schema."
    )
    if request.endpoint == "/v1/chat/completions":
        body["messages"] = [*body.get("messages", ()), *_messages(reply, complaint)]
    else:
        body["input"] = [*_items(body.get("input", ())), *_new_items(reply, complaint)]
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return replace(
        request, content=text.encode("utf-8", "replace"), asked_again=request.asked_again + 1
    )


def _messages(reply: Reply, complaint: str) -> list[Item]:
    """What was said and what is said to it, as messages of a chat."""
    if not reply.tool_calls:
        return _turn_of_words(reply, complaint)
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.tool_calls
    ]
    # Every call of a tool must be answered, or the provider refuses the conversation.
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": complaint} for call in reply.tool_calls
    ]
    return [{"role": "assistant", "content": reply.answer, "tool_calls": calls}, *results]


def _turn_of_words(reply: Reply, complaint: str) -> list[Item]:
    # Never two questions in a row: the templates of many models take turns.
    said = (reply.answer or "").strip() or "(no answer)"
    quoted = said if len(said) <= MAX_QUOTED_CHARS else f"{said[:MAX_QUOTED_CHARS]} ..."
    return [{"role": "assistant", "content": quoted}, {"role": "user", "content": complaint}]


def _items(given: Any) -> list[Any]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given)


def _new_items(reply: Reply, complaint: str) -> list[Item]:
    """The same as items of the input of a response."""
    if not reply.tool_calls:
        return _turn_of_words(reply, complaint)
    calls = [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in reply.tool_calls
    ]
    results = [
        {"type": "function_call_output", "call_id": call.id, "output": complaint}
        for call in reply.tool_calls
    ]
    return [*calls, *results]
