"""Replies that come as server-sent events, although the request asked for no stream."""

import re
from collections.abc import Iterator
from typing import Any

from batches.engine.replies.fields import usage_in
from batches.engine.text.json_text import read_document

MAX_EVENTS = 100_000

# The beginning of an event stream: a field, or a comment that keeps the connection open.
_EVENT_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")


def is_event_stream(raw: bytes) -> bool:
    """Return True if the body starts like server-sent events."""
    return _EVENT_STREAM.match(raw[:1000]) is not None


def events_in(raw: bytes) -> list[Any]:
    """Return the JSON values of server-sent events, in order; skip events without JSON."""
    return list(_events(raw))


def _events(raw: bytes) -> Iterator[Any]:
    for line in raw.splitlines()[:MAX_EVENTS]:
        if line.lstrip(b"\xef\xbb\xbf").startswith(b"data:"):
            try:
                yield read_document(line.partition(b":")[2].strip()).value
            except ValueError:
                continue


def joined(events: list[Any]) -> Any:
    """Return the complete reply that these events form, or None if its end is missing."""
    objects = [event for event in events if isinstance(event, dict)]
    for event in reversed(objects):
        # The Responses dialect repeats the complete response at the end.
        if isinstance(event.get("response"), dict) and str(event.get("type")) != "response.created":
            return event["response"]
    if len(objects) == 1 and not _choices(objects[0], "delta"):
        return objects[0]
    return _joined_chat(objects)


def first_answer_of(event: Any) -> Any:
    """Return an event with only the first of its choices."""
    if not isinstance(event, dict) or not isinstance(event.get("choices"), list):
        return event
    choices = event["choices"]
    first = [one for one in choices if not (isinstance(one, dict) and one.get("index"))]
    return {**event, "choices": first}


def _joined_chat(events: list[dict[str, Any]]) -> Any:
    choices = [choice for event in events for choice in _choices(event, "delta")]
    reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    if not reasons:
        return None
    deltas = [choice["delta"] for choice in choices if isinstance(choice["delta"], dict)]
    message = {
        "role": "assistant",
        "content": _text(deltas, "content"),
        "refusal": _text(deltas, "refusal"),
        "tool_calls": _calls(deltas),
    }
    usage = next(filter(None, map(usage_in, reversed(events))), None)
    return {
        **{key: value for key, value in events[0].items() if key in ("id", "created", "model")},
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": reasons[-1]}],
        "usage": usage,
    }


def _choices(event: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """Return the choices of an event with index 0 that have the field."""
    choices = event.get("choices")
    found = choices if isinstance(choices, list) else []
    return [
        choice
        for choice in found
        if isinstance(choice, dict) and field in choice and not choice.get("index")
    ]


def _text(deltas: list[dict[str, Any]], field: str) -> str | None:
    texts = [delta[field] for delta in deltas if isinstance(delta.get(field), str)]
    return "".join(texts) if texts else None


def _calls(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    calls: dict[Any, dict[str, Any]] = {}
    for delta in deltas:
        for part in delta["tool_calls"] if isinstance(delta.get("tool_calls"), list) else ():
            function = part.get("function") if isinstance(part, dict) else None
            if not isinstance(function, dict):
                continue
            new = {"id": part.get("id"), "function": {"name": "", "arguments": ""}}
            call = calls.setdefault(str(part.get("index")), new)
            for name in ("name", "arguments"):
                call["function"][name] += str(function.get(name) or "")
    return list(calls.values())
