"""Bytes from a provider -> Reply, or the ProviderError that they amount to.

What is certain of a reply is kept, what is odd is left out and noted. A whole reply that was paid
for is never an error: if its answer cannot be read, the reply has a `fault`, so that it is counted
and not paid for again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batches.engine.announced import announced_limits
from batches.engine.envelopes import Complaint, complaint_in, complaint_of, says_error
from batches.engine.errors import AnswerRejected, AnswerUnfit, FailureKind
from batches.engine.event_streams import events_in, is_event_stream, joined
from batches.engine.json_text import Document, read_document, storable_value
from batches.engine.records import Endpoint, Reply, ToolCall
from batches.engine.reply_errors import error_from, malformed, request_id_of
from batches.engine.reply_fields import (
    Notes,
    answer_text,
    kind_of,
    reason_text,
    refusal_in,
    refusal_text,
)
from batches.engine.reply_usage import count_of, read_usage
from batches.engine.tool_calls import chat_calls, response_calls

# Where gateways put a reply inside another object, and how deep.
_WRAPPERS = ("response", "result", "data", "body", "output", "completion")
MAX_WRAPPERS = 3
REPLACEMENT = "\ufffd"

# What a finished response may call its status; a missing one says nothing.
_FINISHED = frozenset({"", "completed", "complete", "succeeded", "success", "done", "ok"})
_UNFINISHED = frozenset({"queued", "in_progress", "pending", "processing", "running"})
_CANCELLED = frozenset({"cancelled", "canceled", "cancelling"})


@dataclass(slots=True)
class Read:
    """What was read of the body of a reply; `wrote` is all that the model wrote."""

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


class Unreadable(ValueError):
    """A body that is no reply of an endpoint; the message names the place."""


class Unsuccessful(ValueError):
    """A body of a reply that says that it failed."""


def read_reply(
    endpoint: Endpoint,
    *,
    status_code: int,
    headers: Mapping[str, str],
    raw: bytes,
    asked: bytes = b"",
) -> Reply:
    """Return the reply in these bytes, to the request `asked`.

    Raises the ProviderError that fits a status other than 2xx or an error inside a 2xx, and
    MalformedReply for a 2xx that shows no answer.
    """
    received = _Received(status_code, headers, raw, asked)
    if not 200 <= status_code < 300:
        return received.refused(complaint_in(raw))
    try:
        document = _document(raw)
    except ValueError as error:
        complaint = complaint_in(raw)
        if complaint.is_json and not complaint.is_empty:
            return received.refused(complaint)
        raise received.malformed(str(error)) from error
    found = says_error(document.value)
    if found is not None:
        return received.refused(complaint_of(found))
    try:
        read = READERS[endpoint](document.value)
    except Unsuccessful as error:
        return received.refused(Complaint(messages=(str(error),), status=502, is_json=True))
    except Unreadable as error:
        return received.unreadable(document, str(error))
    return received.reply(document, read)


def answer_in(endpoint: str, body: str | None) -> str:
    """Return what a model said in a stored reply; empty if there is none, or it is no text."""
    if body is None:
        return ""
    try:
        return READERS[endpoint](Document(body).value).answer or ""
    except ValueError:
        # The body of an error.
        return ""


@dataclass(frozen=True, slots=True)
class _Received:
    """How a reply came."""

    status_code: int
    headers: Mapping[str, str]
    raw: bytes
    asked: bytes

    def reply(self, document: Document, read: Read) -> Reply:
        if document.is_damaged and REPLACEMENT in read.wrote and read.fault is None:
            read.fault = _rejected("some bytes of the answer are no UTF-8")
        usage = read_usage(read.usage, asked=self.asked, written=read.wrote, notes=read.notes)
        return Reply(
            status_code=self.status_code,
            request_id=request_id_of(self.headers),
            body=document.text,
            answer=read.answer,
            finish_reason=read.finish_reason,
            refusal=read.refusal,
            usage=usage,
            tool_calls=read.tool_calls,
            limits=announced_limits(self.headers),
            notes=(*document.notes, *read.notes),
            fault=read.fault,
        )

    def unreadable(self, document: Document, reason: str) -> Reply:
        """Return a reply without an answer if it was paid for. Raises the error that it is else."""
        if _was_paid(document.value):
            fault = _rejected(f"a {self.status_code} whose answer cannot be read: {reason}")
            usage = document.value.get("usage")
            return self.reply(document, Read(usage=usage, fault=fault))
        complaint = complaint_of(document.value)
        if complaint.status or (complaint.codes and complaint.code not in complaint.messages):
            return self.refused(complaint)
        raise self.malformed(complaint.message or reason)

    def refused(self, complaint: Complaint) -> Reply:
        """Return a reply if only its answer did not fit; raise the error that it is else."""
        error = error_from(
            complaint, status_code=self.status_code, headers=self.headers, raw=self.raw
        )
        if not isinstance(error, AnswerUnfit):
            raise error
        kind = FailureKind.NOT_JSON
        if any("tool" in code for code in complaint.codes):
            kind = FailureKind.SCHEMA_VIOLATION
        answer = complaint.generated
        fault = AnswerRejected(kind, f"the provider could not use it: {complaint.message}")
        notes = Notes()
        usage = read_usage(None, asked=self.asked, written=answer or "", notes=notes)
        return Reply(
            status_code=error.status_code or self.status_code,
            request_id=error.request_id,
            body=error.body or "null",
            answer=answer,
            finish_reason="",
            refusal=None,
            usage=usage,
            limits=error.limits,
            notes=tuple(notes),
            fault=fault,
        )

    def malformed(self, reason: str) -> Exception:
        return malformed(reason, status_code=self.status_code, headers=self.headers, raw=self.raw)


def _document(raw: bytes) -> Document:
    if not is_event_stream(raw):
        return read_document(raw)
    events = events_in(raw)
    failed = next((event for event in events if says_error(event) is not None), None)
    whole = failed if failed is not None else joined(events)
    if whole is None:
        raise ValueError("it is a stream of events without an end")
    return Document(storable_value(whole), notes=("it came as a stream of events",))


def _rejected(message: str) -> AnswerRejected:
    return AnswerRejected(FailureKind.MALFORMED, message)


def _was_paid(value: Any) -> bool:
    """Return True if a body shows that a model has worked for it."""
    if not isinstance(value, dict):
        return False
    usage = value.get("usage")
    counts = usage.values() if isinstance(usage, dict) else ()
    return bool(value.get("choices")) or any(count_of(count) for count in counts)


def _unwrapped(value: Any, field_name: str) -> dict[str, Any]:
    """Return the object that has a field, which may stand inside others. Raises Unreadable."""
    usage = None
    for _ in range(MAX_WRAPPERS + 1):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str) and value.startswith("{"):
            value = Document(value).value
        if not isinstance(value, dict):
            break
        usage = value.get("usage", usage)
        if value.get(field_name) is not None:
            return {**value, "usage": usage}
        value = next((value[name] for name in _WRAPPERS if value.get(name)), None)
    raise Unreadable(f"{field_name} is missing")


# -- the dialects


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
    """Return the first choice and its message, which may be text or stand in it directly."""
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
    raise Unreadable("choices.0.message: it is missing")


def _first_choice(choices: Any) -> dict[str, Any]:
    if isinstance(choices, dict):
        is_one = any(name in choices for name in ("message", "text", "finish_reason", "delta"))
        choices = [choices] if is_one else list(choices.values())
    if not isinstance(choices, list) or not choices:
        raise Unreadable("choices: there is none")
    if isinstance(choices[0], str):
        return {"text": choices[0]}
    if not isinstance(choices[0], dict):
        raise Unreadable(f"choices.0: it is {kind_of(choices[0])}")
    return choices[0]


def _read_response(body: Any) -> Read:
    body = _response_in(body)
    status = reason_text(body.get("status"), Notes())
    if status == "failed" or status in _CANCELLED:
        raise Unsuccessful(f"the response is {status}")
    items = _items(body.get("output"))
    read = Read(usage=body.get("usage"))
    contents = [item.get("content") for item in items if _is_message(item)]
    texts = [answer_text(content, read.notes) for content in contents]
    said = [text for text in texts if text is not None]
    read.answer = "".join(said) if said else _plain_text(body.get("output_text"))
    read.refusal = next(filter(None, map(refusal_in, contents)), None)
    read.tool_calls = response_calls(items)
    _read_end(body, status, read)
    return read


def _response_in(body: Any) -> dict[str, Any]:
    """Return the response in a body, by its output or by a status that explains why it has none."""
    for name in ("output", "output_text"):
        try:
            return _unwrapped(body, name)
        except Unreadable:
            continue
    if isinstance(body, dict) and body.get("object") == "response":
        return body
    raise Unreadable("output is missing")


def _items(output: Any) -> list[dict[str, Any]]:
    if isinstance(output, str):
        return [{"type": "message", "content": output}]
    if isinstance(output, dict) and ("content" in output or "type" in output):
        output = [output]
    if not isinstance(output, list) and output is not None:
        raise Unreadable(f"output: it is {kind_of(output)}")
    return [item for item in output or () if isinstance(item, dict)]


def _is_message(item: dict[str, Any]) -> bool:
    return bool(item.get("type", "message") == "message")


def _plain_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _read_end(body: dict[str, Any], status: str, read: Read) -> None:
    """Read how a response ended; one that did not, or without an answer, has a fault."""
    details = body.get("incomplete_details")
    reason = reason_text(details, Notes())
    if reason == "max_output_tokens":
        reason = "length"
    read.finish_reason = reason or ("stop" if status in _FINISHED else status)
    if status in _UNFINISHED:
        read.fault = _rejected(
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
        raise Unreadable("data: there is none")
    return Read(finish_reason="stop", usage=body["usage"])


READERS: dict[str, Callable[[Any], Read]] = {
    "/v1/chat/completions": _read_chat,
    "/v1/responses": _read_response,
    "/v1/embeddings": _read_embeddings,
}
