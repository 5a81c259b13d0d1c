"""Read the body of a reply in the dialect of its endpoint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from batches.engine.endpoints import ReplyForm, rules_of
from batches.engine.errors import AnswerRejected, FailureKind
from batches.engine.records import ToolCall
from batches.engine.replies.envelopes import MAX_WRAPPERS, WRAPPERS
from batches.engine.replies.fields import (
    Notes,
    answer_text,
    kind_of,
    reason_text,
    refusal_in,
    refusal_text,
    usage_in,
)
from batches.engine.replies.tool_calls import chat_calls, response_calls
from batches.engine.text.json_text import read_document

# Statuses of a finished response; a missing status says nothing.
_FINISHED = frozenset({"", "completed", "complete", "succeeded", "success", "done", "ok"})
_UNFINISHED = frozenset({"queued", "in_progress", "pending", "processing", "running"})
_CANCELLED = frozenset({"cancelled", "canceled", "cancelling"})


@dataclass(slots=True)
class Read:
    """The content of the body of a reply; `wrote` is all text that the model wrote."""

    answer: str | None = None
    finish_reason: str = ""
    refusal: str | None = None
    usage: Any = None
    tool_calls: tuple[ToolCall, ...] = ()
    thoughts: str = ""
    fault: AnswerRejected | None = None
    notes: Notes = field(default_factory=Notes)

    @property
    def wrote(self) -> str:
        calls = "".join(call.name + call.arguments for call in self.tool_calls)
        return (self.answer or "") + (self.refusal or "") + self.thoughts + calls


class UnreadableAnswer(ValueError):
    """A body that is not a reply of the endpoint; the message names the place."""


class Unsuccessful(ValueError):
    """A reply whose body says that the request failed."""


def rejected(message: str) -> AnswerRejected:
    return AnswerRejected(FailureKind.MALFORMED, message)


def _unwrapped(value: Any, field_name: str) -> dict[str, Any]:
    """Return the object that has a field; it may be nested in others. Raise Unreadable."""
    usage = None
    for _ in range(MAX_WRAPPERS + 1):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        value = _decoded(value)
        if not isinstance(value, dict):
            break
        found = usage_in(value)
        usage = usage if found is None else found
        if value.get(field_name) is not None:
            return {**value, "usage": usage}
        value = next((value[name] for name in WRAPPERS if value.get(name)), None)
    raise UnreadableAnswer(f"{field_name} is missing")


def _decoded(value: Any) -> Any:
    """Return the object in a string of JSON; return any other value unchanged."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return read_document(value.encode()).value
        except ValueError:
            pass
    return value


def _read_chat(body: Any) -> Read:
    body = _unwrapped(body, "choices")
    choice, message = _message(body["choices"])
    read = Read(usage=body["usage"])
    read.answer = answer_text(message.get("content"), read.notes)
    read.refusal = refusal_text(message.get("refusal")) or refusal_in(message.get("content"))
    read.tool_calls = chat_calls(message)
    reasons = (choice[name] for name in ("finish_reason", "stop_reason") if name in choice)
    read.finish_reason = reason_text(next(reasons, None), read.notes)
    thoughts = (message.get(name) for name in ("reasoning_content", "reasoning"))
    read.thoughts = next((text for text in thoughts if isinstance(text, str)), "")
    return read


def _message(choices: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first choice and its message; the message may be text or the choice itself."""
    choice = _first_choice(choices)
    for name in ("message", "delta", "messages"):
        message = choice.get(name)
        if isinstance(message, list) and message:
            message = message[-1]
        if isinstance(message, dict):
            return choice, message
        if isinstance(message, str):
            return choice, {"content": message}
    for name in ("text", "content", "tool_calls"):
        if choice.get(name) is not None:
            return choice, {"content": choice.get("text"), **choice}
    raise UnreadableAnswer("choices.0.message is missing")


def _first_choice(choices: Any) -> dict[str, Any]:
    if isinstance(choices, dict):
        is_one = any(name in choices for name in ("message", "text", "finish_reason", "delta"))
        choices = [choices] if is_one else list(choices.values())
    if not isinstance(choices, list) or not choices:
        raise UnreadableAnswer("choices is empty or not a list")
    if isinstance(choices[0], str):
        return {"text": choices[0]}
    if not isinstance(choices[0], dict):
        raise UnreadableAnswer(f"choices.0 is {kind_of(choices[0])}")
    return choices[0]


def _read_response(body: Any) -> Read:
    body = _response_in(body)
    status = reason_text(body.get("status"), Notes())
    if status == "failed" or status in _CANCELLED:
        raise Unsuccessful(f"the response is {status}")
    items = _items(body.get("output"))
    read = Read(usage=usage_in(body))
    contents = [item.get("content") for item in items if _is_message(item)]
    texts = [answer_text(content, read.notes) for content in contents]
    said = [text for text in texts if text is not None]
    read.answer = "".join(said) if said else _plain_text(body.get("output_text"))
    read.refusal = next(filter(None, map(refusal_in, contents)), None)
    read.tool_calls = response_calls(items)
    _read_end(body, status, read)
    return read


def _response_in(body: Any) -> dict[str, Any]:
    """Return the response in a body; it has an output, or a status that explains its absence."""
    for name in ("output", "output_text"):
        try:
            return _unwrapped(body, name)
        except UnreadableAnswer:
            continue
    if isinstance(body, dict) and body.get("object") == "response":
        return body
    raise UnreadableAnswer("output is missing")


def _items(output: Any) -> list[dict[str, Any]]:
    if isinstance(output, str):
        return [{"type": "message", "content": output}]
    if isinstance(output, dict) and ("content" in output or "type" in output):
        output = [output]
    if not isinstance(output, list) and output is not None:
        raise UnreadableAnswer(f"output is {kind_of(output)}")
    return [item for item in output or () if isinstance(item, dict)]


def _is_message(item: dict[str, Any]) -> bool:
    return bool(item.get("type", "message") == "message")


def _plain_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_end(body: dict[str, Any], status: str, read: Read) -> None:
    """Read how a response ended. Set a fault if it has not ended, or has no answer."""
    details = body.get("incomplete_details")
    reason = reason_text(details, Notes())
    if reason == "max_output_tokens":
        reason = "length"
    read.finish_reason = reason or ("stop" if status in _FINISHED else status)
    if status in _UNFINISHED:
        read.fault = rejected(
            f"the response is still {status}; background responses are not waited for"
        )
    elif status not in _FINISHED and not read.wrote:
        kinds = {"length": FailureKind.TRUNCATED, "content_filter": FailureKind.FILTERED}
        kind = kinds.get(reason, FailureKind.MALFORMED)
        message = f"the response is {status} ({reason or 'no reason given'}) and has no answer"
        read.fault = AnswerRejected(kind, message)


def _read_embeddings(body: Any) -> Read:
    body = _unwrapped(body, "data")
    data = body["data"]
    if isinstance(data, dict) and "embedding" not in data:
        body = _unwrapped(data, "data")
        data = body["data"]
    if not data or not isinstance(data, dict | list):
        raise UnreadableAnswer("data is empty or not a list")
    return Read(finish_reason="stop", usage=body["usage"])


def _read_moderation(body: Any) -> Read:
    body = _unwrapped(body, "results")
    if not body["results"] or not isinstance(body["results"], list):
        raise UnreadableAnswer("results is empty or not a list")
    return Read(finish_reason="stop", usage=body["usage"])


def _read_images(body: Any) -> Read:
    body = _unwrapped(body, "data")
    images = body["data"] if isinstance(body["data"], list) else []
    if not any(isinstance(one, dict) and one.keys() & {"b64_json", "url"} for one in images):
        raise UnreadableAnswer("data has no image")
    return Read(finish_reason="stop", usage=body["usage"])


def _read_video(body: Any) -> Read:
    """Read the job that makes a video. The batch does not wait for the video itself."""
    body = _unwrapped(body, "status")
    status = reason_text(body["status"], Notes())
    if status == "failed" or status in _CANCELLED:
        raise Unsuccessful(f"the video is {status}")
    return Read(finish_reason="stop", usage=body["usage"])


def _read_json(body: Any) -> Read:
    """Read a reply of an unknown endpoint: any JSON."""
    usage = None
    if isinstance(body, dict):
        meta = body.get("meta")
        # Cohere puts its counts there.
        usage = usage_in(body) or (meta.get("tokens") if isinstance(meta, dict) else None)
    return Read(finish_reason="stop", usage=usage)


_READERS: dict[ReplyForm, Callable[[Any], Read]] = {
    "chat": _read_chat,
    "response": _read_response,
    "embeddings": _read_embeddings,
    "moderation": _read_moderation,
    "images": _read_images,
    "video": _read_video,
    "json": _read_json,
}


def reader_of(endpoint: str) -> Callable[[Any], Read]:
    """Return the reader for replies of an endpoint. It raises Unreadable or Unsuccessful."""
    return _READERS[rules_of(endpoint).reply]
