"""Convert bytes from a provider into a Reply, or raise a ProviderError.

Clear parts of a reply are kept; odd parts are ignored and noted. A complete reply that was paid for
is never an error: if its answer cannot be read, the reply has a `fault`, so that its tokens are
counted and the prompt is not charged again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batches.engine.endpoints import rules_of
from batches.engine.errors import AnswerRejected, AnswerUnfit, FailureKind
from batches.engine.rates.announced import announced_limits
from batches.engine.records import Reply, Usage
from batches.engine.replies.dialects import (
    Read,
    UnreadableAnswer,
    Unsuccessful,
    reader_of,
    rejected,
)
from batches.engine.replies.envelopes import Complaint, complaint_in, complaint_of, says_error
from batches.engine.replies.errors import error_from, malformed, request_id_of, tells_fault
from batches.engine.replies.event_streams import events_in, first_answer_of, is_event_stream, joined
from batches.engine.replies.fields import Notes, usage_in
from batches.engine.replies.usage import count_of, read_usage
from batches.engine.text.json_text import Document, read_document, storable, storable_value

REPLACEMENT = "\ufffd"


def read_reply(
    endpoint: str,
    *,
    status_code: int,
    headers: Mapping[str, str],
    raw: bytes,
    asked: bytes = b"",
) -> Reply:
    """Return the reply in these bytes to the request `asked`.

    Raise a ProviderError for a status other than 2xx or an error inside a 2xx, and MalformedReply
    for a 2xx without a readable answer.
    """
    received = _Received(endpoint, status_code, headers, raw, asked)
    if not 200 <= status_code < 300:
        return received.refused(complaint_in(raw))
    try:
        document = _document(endpoint, raw)
    except ValueError as error:
        complaint = complaint_in(raw)
        if complaint.is_json and not complaint.is_empty:
            return received.refused(complaint)
        raise received.malformed(str(error)) from error
    found = error_in(endpoint, document.value)
    if found is not None:
        return received.refused(complaint_of(found))
    try:
        read = reader_of(endpoint)(document.value)
    except Unsuccessful as error:
        return received.refused(Complaint(messages=(str(error),), status=502, is_json=True))
    except UnreadableAnswer as error:
        return received.unreadable(document, str(error))
    spoken = None
    if rules_of(endpoint).answers_in_text and not read.wrote:
        spoken = received.spoken_fault(document.value)
    return received.reply(document, read) if spoken is None else received.refused(spoken)


def error_in(endpoint: str, value: Any) -> Any:
    """Return the part of a 2xx body that says that the call failed, or None.

    A reply of an unknown endpoint may use a field `error` for something else, such as a distance;
    only an object or a string there means that the call failed.
    """
    found = says_error(value)
    if rules_of(endpoint).reply != "json" or found is None or found is value:
        return found
    return found if isinstance(found.get("error"), dict | str) else None


def answer_in(endpoint: str, body: str | None) -> str:
    """Return the model's text in a stored reply; "" if there is none."""
    if body is None:
        return ""
    try:
        return reader_of(endpoint)(Document(body).value).answer or ""
    except ValueError:
        # This is the body of an error.
        return ""


def shown_in(endpoint: str, body: str | None, *, succeeded: bool) -> str:
    """Return the part of a stored reply to show to a person: the answer text or the JSON."""
    if rules_of(endpoint).shows_body:
        return body or "" if succeeded else ""
    return answer_in(endpoint, body)


@dataclass(frozen=True, slots=True)
class _Received:
    """A reply as received."""

    endpoint: str
    status_code: int
    headers: Mapping[str, str]
    raw: bytes
    asked: bytes

    def reply(self, document: Document, read: Read) -> Reply:
        if document.is_damaged and REPLACEMENT in read.wrote and read.fault is None:
            read.fault = rejected("some bytes of the answer are not UTF-8")
        usage = self.usage(read.usage, read.wrote, read.notes)
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
        spoken = self.spoken_fault(document.value)
        if spoken is not None:
            return self.refused(spoken)
        if _was_paid(document.value):
            fault = rejected(f"HTTP {self.status_code}, but the answer cannot be read: {reason}")
            usage = usage_in(document.value)
            return self.reply(document, Read(usage=usage, fault=fault))
        complaint = complaint_of(document.value)
        if complaint.status or (complaint.codes and complaint.code not in complaint.messages):
            return self.refused(complaint)
        raise self.malformed(complaint.message or reason)

    def spoken_fault(self, value: Any) -> Complaint | None:
        """Return the complaint in a body without an answer, if it names an error and no tokens."""
        if _is_counted(value):
            return None
        complaint = complaint_of(_without_answer(value))
        return complaint if tells_fault(self.status_code, complaint) else None

    def refused(self, complaint: Complaint) -> Reply:
        """Return a reply if only its answer did not fit; raise any other error."""
        error = error_from(
            complaint, status_code=self.status_code, headers=self.headers, raw=self.raw
        )
        if not isinstance(error, AnswerUnfit):
            raise error
        kind = FailureKind.NOT_JSON
        if any("tool" in code for code in complaint.codes):
            kind = FailureKind.SCHEMA_VIOLATION
        answer = complaint.generated
        fault = AnswerRejected(kind, f"the provider rejected its own answer: {complaint.message}")
        notes = Notes()
        usage = self.usage(None, answer or "", notes)
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

    def usage(self, given: Any, written: str, notes: Notes) -> Usage:
        return read_usage(
            given, endpoint=self.endpoint, asked=self.asked, written=written, notes=notes
        )

    def malformed(self, reason: str) -> Exception:
        return malformed(reason, status_code=self.status_code, headers=self.headers, raw=self.raw)


def _document(endpoint: str, raw: bytes) -> Document:
    if not is_event_stream(raw):
        return read_document(raw) if rules_of(endpoint).reply != "json" else _any_document(raw)
    events = events_in(raw)
    answers = map(first_answer_of, events)
    failed = next((event for event in answers if says_error(event) is not None), None)
    whole = failed if failed is not None else joined(events)
    if whole is None:
        raise ValueError("the stream of events has no end")
    return Document(storable_value(whole), notes=("the reply came as a stream of events",))


def _any_document(raw: bytes) -> Document:
    """Return any JSON, such as a bare number. Raise ValueError if the bytes are not JSON."""
    try:
        return read_document(raw)
    except ValueError as error:
        try:
            return Document(storable(raw), any_value=True)
        except ValueError:
            raise error from None


def _without_answer(value: Any) -> Any:
    """Return a body without the field that holds the answer in Ollama's dialect."""
    if not isinstance(value, dict) or not isinstance(value.get("response"), str):
        return value
    return {name: field for name, field in value.items() if name != "response"}


def _was_paid(value: Any) -> bool:
    """Return True if a body shows that a model has generated something, so that it is billed."""
    return isinstance(value, dict) and (bool(value.get("choices")) or _is_counted(value))


def _is_counted(value: Any) -> bool:
    usage = usage_in(value) if isinstance(value, dict) else None
    return isinstance(usage, dict) and any(map(count_of, usage.values()))
