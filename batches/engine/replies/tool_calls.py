"""Read the tool calls of a reply. An odd call must not make the answer unreadable."""

import json
from typing import Any

from batches.engine.records import ToolCall


def chat_calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    """Return the calls in a chat message; calls without a function run at the provider."""
    given = message.get("tool_calls")
    if isinstance(given, dict):
        # One call, or several by index.
        given = [given] if _is_call(given) else list(given.values())
    calls = [_call(one) for one in given if _is_call(one)] if isinstance(given, list) else []
    legacy = message.get("function_call")
    if not calls and isinstance(legacy, dict) and _is_call(legacy):
        calls = [_call(legacy)]
    return tuple(calls)


def response_calls(items: list[dict[str, Any]]) -> tuple[ToolCall, ...]:
    """Return the calls among the items of a response."""
    return tuple(
        ToolCall(
            _text(item.get("call_id")) or _text(item.get("id")),
            _text(item.get("name")),
            _arguments(item.get("arguments")),
        )
        for item in items
        if item.get("type") == "function_call"
    )


def _is_call(value: Any) -> bool:
    return isinstance(value, dict) and (
        isinstance(value.get("function"), dict) or isinstance(value.get("name"), str)
    )


def _call(value: dict[str, Any]) -> ToolCall:
    function = value["function"] if isinstance(value.get("function"), dict) else value
    return ToolCall(
        _text(value.get("id")), _text(function.get("name")), _arguments(function.get("arguments"))
    )


def _arguments(value: Any) -> str:
    """Return the arguments as text; some providers send them as a JSON value."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
