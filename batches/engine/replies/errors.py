"""Convert the status and the body of a failed call into a ProviderError."""

import json
import re
from collections.abc import Mapping

from batches.engine.errors import (
    AccessRefused,
    AnswerUnfit,
    AuthError,
    ConfigError,
    MalformedReply,
    NotAnApi,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.rates.announced import announced_limits
from batches.engine.replies.envelopes import MAX_CODE_CHARS, Complaint, complaint_in
from batches.engine.replies.error_rows import Said, plain_code
from batches.engine.replies.error_table import names_a_fault, row_of
from batches.engine.retry import MAX_RETRY_AFTER_S, retry_after_s
from batches.engine.text.json_text import Document, read_document

MAX_MESSAGE_CHARS = 500
MAX_REQUEST_ID_CHARS = 200
# The most bytes before the first character of a page.
MOST_BLANKS = 200
A_PAGE = "a web page instead of JSON: is this the address of an API? Most base URLs end in /v1"
MAX_ERROR_BODY_BYTES = 16_384
# JSON may need two characters for one character of the body.
_EXCERPT_BYTES = MAX_ERROR_BODY_BYTES - 1024

# The status to report for an error inside a 200 that names no status.
_STATUS_OF: dict[type[ProviderError], int] = {
    AnswerUnfit: 400,
    RequestRefused: 400,
    AuthError: 401,
    QuotaError: 402,
    AccessRefused: 403,
    ConfigError: 404,
    RateLimited: 429,
    ServerError: 502,
    Overloaded: 503,
}
# Statuses that gateways put on errors of others, and the inner statuses that take precedence.
_GATEWAY_STATUSES = frozenset({400, 403, 429, 500, 502, 503})
_HIDDEN_STATUSES = frozenset({401, 402, 429})

_TOKENS_A_MINUTE = re.compile(r"tokens per (?:minute|min|day)|\bTPM\b|\bTPD\b|token rate", re.I)
_QUOTED = re.compile(
    r"“[^”]*(?:”|$)|「[^」]*(?:」|$)|«[^»]*(?:»|$)|`[^`]*(?:`|$)|\"[^\"]*(?:\"|$)"
    r"|(?<!\w)'(?:[^']|(?<=\w)'(?=\w))*(?:'|$)"
)
# The text after these words is quoted from the prompt.
_PROMPT_FOLLOWS = re.compile(
    r"\bmessages?\s*\[\d*\][^:]{0,40}:.*"
    r"|\b(?:prompts?|inputs?|question|query|user (?:text|message)|content)\b[^:.]{0,60}:\s.*",
    re.I | re.S,
)
_URL = re.compile(
    r"\b[a-z][a-z0-9+]{1,15}://\S+|\bdata:\w{1,20}/\S+"
    r"|\b[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}(?::\d{1,5})?/\S*",
    re.I | re.A,
)
# The name of a field, a tool or a file: `daily_quota`, `body.spend-limit`, `out-of-credits.png`.
_TOKEN = re.compile(r"[\w-]+(?:[.\[\]]+[\w-]+)*", re.A)
_NAME = re.compile(r".*?(?:[a-z0-9]_[a-z0-9]|-.*\.|\..*-)", re.I)
# Names of an API key that also occur in sentences.
_NAMES_OF_A_KEY = re.compile(r"(?:x[-_])?api[-_]?key", re.I)
_WAIT = re.compile(
    r"(?:try again|retry|retrying|wait)(?: (?:in|after|for|again in|at least))?"
    r" {0,2}(?P<time>(?:\d{1,9}(?:\.\d{1,9})? ?[a-z]{1,12}[ ,]{0,2}){1,4})",
    re.I,
)
_PART_OF_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([a-z]+)", re.I)
_SECONDS_OF = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def error_of(status_code: int, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    """Return the error for a status and its body."""
    return error_from(complaint_in(raw), status_code=status_code, headers=headers, raw=raw)


def error_from(
    complaint: Complaint, *, status_code: int, headers: Mapping[str, str], raw: bytes
) -> ProviderError:
    """Return the error for a complaint; `raw` is the body that contains it."""
    status = _telling_status(status_code, complaint)
    means = row_of(_said(status, complaint)).means
    message = complaint.message[:MAX_MESSAGE_CHARS] or "no message"
    code = complaint.code
    if 200 <= status_code < 300:
        status_code = _STATUS_OF.get(means, 502) if status == status_code else status
    in_header_s = retry_after_s(headers)
    error = means(
        f"HTTP {status_code}: {message}",
        status_code=status_code,
        code=code[:MAX_CODE_CHARS] if code else None,
        request_id=request_id_of(headers),
        retry_after_s=_delay_in_body_s(complaint) if in_header_s is None else in_header_s,
        body=error_body(raw, message, code),
    )
    error.limits = announced_limits(headers)
    if isinstance(error, RateLimited) and _is_about_tokens(complaint):
        error.unit = "tokens"
    return error


def tells_fault(status_code: int, complaint: Complaint) -> bool:
    """Return True if the words of a 2xx body name a known error."""
    means = row_of(_said(status_code, complaint)).means
    return means not in (ServerError, MalformedReply)


def malformed(
    reason: str, *, status_code: int, headers: Mapping[str, str], raw: bytes
) -> MalformedReply:
    """Return the error for a reply that cannot be read, with an excerpt of its body."""
    is_page = raw[:MOST_BLANKS].lstrip().startswith(b"<")
    message = f"HTTP {status_code} with {A_PAGE if is_page else f'an invalid body: {reason}'}"
    message = message[:MAX_MESSAGE_CHARS]
    return (NotAnApi if is_page else MalformedReply)(
        message,
        status_code=status_code,
        request_id=request_id_of(headers),
        body=error_body(raw, message, "malformed"),
    )


def request_id_of(headers: Mapping[str, str]) -> str:
    return headers.get("x-request-id", "").replace("\x00", "")[:MAX_REQUEST_ID_CHARS]


def error_body(raw: bytes, message: str, code: str | None) -> str:
    """Return the body of an error as one line of JSON, in OpenAI's error envelope.

    A body without this envelope is kept in a field beside it; a long body is cut.
    """
    document = _short_document(raw)
    if document is not None and isinstance(document.value, dict) and document.value.get("error"):
        return document.text
    envelope = {"message": message, "type": None, "param": None, "code": code}
    text = json.dumps({"error": envelope}, ensure_ascii=False)
    kept = _excerpt(raw) if document is None else document.text
    return f'{text[:-1]},"body":{kept}}}' if kept else text


def _short_document(raw: bytes) -> Document | None:
    try:
        return read_document(raw) if len(raw) <= MAX_ERROR_BODY_BYTES else None
    except ValueError:
        return None


def _excerpt(raw: bytes) -> str:
    """Return the start of a body as a JSON string; "" if the body is empty."""
    text = raw[:_EXCERPT_BYTES].decode("utf-8", "replace").strip()
    printable = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    return json.dumps(printable, ensure_ascii=False) if printable else ""


def _telling_status(status_code: int, complaint: Complaint) -> int:
    """Return the status that decides: the HTTP status, unless a gateway hides the inner one."""
    inner = complaint.status
    if inner and 200 <= status_code < 300:
        return inner
    if inner in _HIDDEN_STATUSES and status_code in _GATEWAY_STATUSES:
        return inner
    return status_code


def _said(status: int, complaint: Complaint) -> Said:
    # A page comes from a proxy in front of the provider, and may quote anything.
    words = "" if complaint.is_page else complaint.message
    return Said(
        status,
        tuple(map(plain_code, complaint.codes)),
        words=own_words(words),
        all_words=_URL.sub("''", words),
        is_json=complaint.is_json,
    )


def own_words(text: str) -> str:
    """Return the provider's own words, as far as they can be recognised.

    Quotations, URLs and the names of fields, tools and files are left out, since their words say
    nothing about the account. A known code such as `insufficient_balance` stays.
    """
    own = _PROMPT_FOLLOWS.sub("", _QUOTED.sub("''", text))
    return _TOKEN.sub(_unless_name, _URL.sub("''", own))


def _unless_name(token: re.Match[str]) -> str:
    word = token[0]
    if len(word) > MAX_CODE_CHARS or not _NAME.match(word) or _NAMES_OF_A_KEY.fullmatch(word):
        return word
    return word if any(map(names_a_fault, (word, *word.split(".")))) else "''"


def _is_about_tokens(complaint: Complaint) -> bool:
    return "tokens" in complaint.codes or bool(_TOKENS_A_MINUTE.search(complaint.message))


def _delay_in_body_s(complaint: Complaint) -> float | None:
    """Return the wait that a body asks for, in fields or words, in seconds, at most an hour."""
    seconds = complaint.delay_s
    if seconds is None:
        match = _WAIT.search(own_words(complaint.message))
        seconds = _seconds_of(match["time"]) if match else None
    return None if seconds is None else min(seconds, MAX_RETRY_AFTER_S)


def _seconds_of(time: str) -> float | None:
    parts = [
        float(number) * _SECONDS_OF[unit.lower()]
        for number, unit in _PART_OF_TIME.findall(time)
        if unit.lower() in _SECONDS_OF
    ]
    return sum(parts) if parts else None
