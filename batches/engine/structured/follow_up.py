"""Make the follow-up request: the same conversation, the answer, and its errors.

Servers validate requests with different strictness, so every message and item is complete: type,
role, status, parts of the right type, an id where the specification has one.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from batches.engine.endpoints import rules_of
from batches.engine.errors import AnswerRejected
from batches.engine.records import PreparedRequest, RejectedAnswer, Reply, ToolCall
from batches.engine.structured.excerpts import MAX_SEARCHED_CHARS
from batches.engine.structured.thoughts import spoken_part

MAX_QUOTED_CHARS = 32_000
MAX_REASON_CHARS = 2_000
MAX_QUOTED_CALL_CHARS = 2_000

Item = dict[str, Any]


def follow_up(request: PreparedRequest, reply: Reply, fault: AnswerRejected) -> PreparedRequest:
    """Return the request that asks the model for a better answer than this one."""
    body: Item = json.loads(request.content)
    errors = fault.message[:MAX_REASON_CHARS]
    complaint = f"That cannot be used: {errors}\n{_wish(request, reply)}"
    calls = _answerable(request, reply.tool_calls)
    if rules_of(request.endpoint).asked_in == "messages":
        added = _messages(calls, reply, complaint) if calls else _turns(reply, complaint)
        body["messages"] = [*body.get("messages", ()), *added]
    else:
        added = _call_items(calls, reply, complaint) if calls else _turns(reply, complaint)
        body["input"] = _items([*_as_list(body.get("input", ())), *added])
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    rejected = RejectedAnswer(_quoted(reply), errors)
    return replace(
        request,
        content=text.encode("utf-8", "replace"),
        first_content=request.first_content or request.content,
        rejected=(*request.rejected, rejected),
    )


def _wish(request: PreparedRequest, reply: Reply) -> str:
    """Return the sentence that says what the model should answer instead."""
    tools = request.tools
    if tools is not None and tools.required:
        names = ", ".join(sorted(tools.allowed)[:20])
        return f"Answer again, with a call of one of these tools and valid arguments: {names}."
    if reply.tool_calls and request.response_model is None:
        return "Answer again, with arguments that fit the schema of the tool."
    return "Answer again, with nothing but JSON that fits the schema."


def _answerable(request: PreparedRequest, calls: tuple[ToolCall, ...]) -> list[ToolCall]:
    """Return the calls to repeat, each with a unique id and readable arguments.

    Return no calls if one of them names a tool that was not offered, since servers reject such a
    conversation.
    """
    offered = request.tool_models.keys() if request.tools is None else request.tools.allowed
    if not all(call.name in offered for call in calls):
        return []
    ids = [call.id for call in calls]
    return [
        ToolCall(
            # Mistral requires nine letters and digits.
            call.id if call.id and ids.count(call.id) == 1 else f"call{number:05}",
            call.name,
            call.arguments if _is_object(call.arguments) else "{}",
        )
        for number, call in enumerate(calls)
    ]


def _is_object(arguments: str) -> bool:
    """Return True for arguments that a chat template can read; others make some servers fail."""
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _messages(calls: Sequence[ToolCall], reply: Reply, complaint: str) -> list[Item]:
    """Return the calls and their errors, as chat messages."""
    made = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in calls
    ]
    said = _said(reply) or None
    # Every tool call must be answered, or the provider rejects the conversation.
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": _on_call(complaint, given, call)}
        for call, given in zip(calls, reply.tool_calls, strict=True)
    ]
    return [{"role": "assistant", "content": said, "tool_calls": made}, *results]


def _on_call(complaint: str, given: ToolCall, sent: ToolCall) -> str:
    """Return the complaint, with the original arguments if they were not repeated unchanged."""
    if given.arguments == sent.arguments:
        return complaint
    return f"{complaint}\nThe arguments were: {given.arguments[:MAX_QUOTED_CALL_CHARS]}"


def _turns(reply: Reply, complaint: str) -> list[Item]:
    # Never two user messages in a row: the templates of many models require alternating turns.
    said = {"role": "assistant", "content": _quoted(reply)}
    return [said, {"role": "user", "content": complaint}]


def _quoted(reply: Reply) -> str:
    """Return the answer and its tool calls as one text, shortened."""
    called = "\n".join(
        f"{call.name}({call.arguments[:MAX_QUOTED_CALL_CHARS]})" for call in reply.tool_calls[:20]
    )
    return "\n".join(filter(None, (_said(reply), called))) or "(no answer)"


def _said(reply: Reply) -> str:
    """Return the answer, shortened and without thoughts, which providers do not want back."""
    answer = (reply.answer or "").strip()
    if len(answer) <= MAX_SEARCHED_CHARS:
        answer = spoken_part(answer).strip() or answer
    return answer if len(answer) <= MAX_QUOTED_CHARS else f"{answer[:MAX_QUOTED_CHARS]} ..."


def _as_list(given: Any) -> list[Any]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else list(given)


def _call_items(calls: Sequence[ToolCall], reply: Reply, complaint: str) -> list[Item]:
    """Return the calls and their errors, as input items of the Responses API."""
    made = [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        for call in calls
    ]
    results = [
        {
            "type": "function_call_output",
            "call_id": call.id,
            "output": _on_call(complaint, given, call),
        }
        for call, given in zip(calls, reply.tool_calls, strict=True)
    ]
    return [*made, *results]


def _items(items: Sequence[Any]) -> list[Any]:
    """Return the items of an input; messages get the fields that the short form omits."""
    return [
        _message_item(number, item) if isinstance(item, dict) and "role" in item else item
        for number, item in enumerate(items)
    ]


def _message_item(number: int, item: Item) -> Item:
    is_ours = item["role"] == "assistant"
    part: Item = {"type": "output_text", "annotations": []} if is_ours else {"type": "input_text"}
    content = item.get("content")
    message = {**item, "type": item.get("type", "message")}
    if isinstance(content, str):
        message["content"] = [{**part, "text": content}]
    if is_ours and message["type"] == "message":
        return {"id": f"msg_{number:032x}", "status": "completed", **message}
    return message
