"""Read the body of an error, in any envelope that a provider uses.

    {"error": {...}} · [{"error": ...}] · {"detail": ...} · {"code", "message"} · {"errors": [...]}
    problem+json · Google's status and details · JSON as text inside a message · plain text, HTML

Only the fields of an error are read. Fields in which a provider quotes the request (`input`,
`body`, `messages`, ...) are not, so that a prompt cannot pass for an error.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from batches.engine.replies.event_streams import events_in, is_event_stream
from batches.engine.text.json_text import read_document

MAX_DEPTH = 8
MAX_FIELDS = 500
MAX_ITEMS = 20
MAX_TEXT_CHARS = 4_000
MAX_CODE_CHARS = 200
# A longer body is not read as an envelope: it can only quote the request.
MAX_ENVELOPE_BYTES = 2**20

_TEXTS = frozenset(
    "message msg errormessage errormsg errmsg statusmsg faultstring description errordescription "
    "detail details title cause fault error errors innererror exception metadata raw response "
    "baseresp header violations upstreamerror originalerror".split()
)
# Fields that hold a code, with a rank: the lower, the better the code names the fault.
_CODES = {
    **dict.fromkeys(("code", "errorcode", "errcode", "subcode"), 0),
    "reason": 1,
    **dict.fromkeys(("status", "statuscode", "httpstatus", "httpcode"), 2),
    **dict.fromkeys(("type", "errortype", "kind"), 3),
    **dict.fromkeys(("quotaid", "quotalimit", "quotametric"), 5),
}
_STATUS_RANK = 4
_RANK_OF_FIELD = 6
# Codes that say only that there is an error.
_BLAND = frozenset({"error", "err", "fail", "failed", "failure", "about:blank", "false"})
_DELAYS = {
    **dict.fromkeys(("retrydelay", "retryafter", "retryafterseconds", "retryaftersecs"), 1.0),
    **dict.fromkeys(("retryafterms", "retryaftermilliseconds"), 0.001),
}
# Values of error fields when there is no error.
_SUCCESS = frozenset({"0", "200", "ok", "success", "succeeded"})
_BLANK = frozenset({"none", "null", "false", "no error"})
# Fields with the text of an answer that did not fit, although the provider enforces the schema.
_GENERATED = frozenset({"failedgeneration", "failedoutput"})

# A message of a single word is a code.
_WORD = re.compile(r"[\w.-]{3,100}")
_LEAD_END = re.compile(r"[\s:,-]*(?:b?['\"])?\s*$")
_DURATION = re.compile(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*s?\s*")
_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^<>]{0,1000}>", re.I | re.S)
# Where gateways put a reply inside another object, and how deep.
WRAPPERS = ("response", "result", "data", "body", "output", "completion")
MAX_WRAPPERS = 3
_PARTS = frozenset({"message", "delta"})
# The text after these words is quoted from the prompt.
_QUOTING = re.compile(
    r"\bmessages\s*\[\d*\]|\b(?:prompts?|inputs?|question|query|user (?:text|message)|content)\b",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as described by its body.

    `codes` are all its codes, types and reasons, the most specific first; `status` is an HTTP
    status among them. `generated` is an answer that the provider could not make fit. `is_json` is
    False for a page or plain text.
    """

    messages: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    status: int | None = None
    delay_s: float | None = None
    generated: str | None = None
    is_json: bool = False
    is_page: bool = False

    @property
    def message(self) -> str:
        return "; ".join(self.messages)

    @property
    def code(self) -> str | None:
        return self.codes[0] if self.codes else None

    @property
    def is_empty(self) -> bool:
        return not self.messages and not self.codes


def complaint_in(raw: bytes) -> Complaint:
    """Return the complaint in the body of an error."""
    if len(raw) <= MAX_ENVELOPE_BYTES:
        if is_event_stream(raw) and (events := events_in(raw)):
            return complaint_of(events)
        try:
            return complaint_of(read_document(raw).value)
        except ValueError:
            pass
    text = raw[:MAX_TEXT_CHARS].decode("utf-8", "replace")
    words = _MARKUP.sub(" ", text)
    is_page = words != text or len(raw) > MAX_ENVELOPE_BYTES
    return Complaint(messages=tuple(filter(None, [_line(words)])), is_page=is_page)


def complaint_of(value: Any) -> Complaint:
    """Return the complaint in a JSON value."""
    reader = _Reader()
    reader.read(value, MAX_DEPTH)
    return reader.complaint()


def says_error(body: Any) -> Any:
    """Return the part of a reply that says that the request failed, or None.

    A complete reply may also have an `error` field that is null, empty or says "success".
    """
    if not isinstance(body, dict):
        return None
    if body.get("object") == "error" or body.get("type") == "error":
        return body
    for part in _first_answer(body):
        if _is_error(part.get("error")):
            return {"error": part["error"]}
    for name in ("error", "base_resp"):
        if _is_error(body.get(name)):
            # The fields next to a bare `true` or a string may say more.
            beside = {key: body[key] for key in ("code", "status", "message") if key in body}
            return {**beside, name: body[name]}
    return None


def _first_answer(body: dict[str, Any], depth: int = MAX_WRAPPERS) -> Iterator[dict[str, Any]]:
    """Yield the first choice and its message. An error in a choice that is not read is ignored."""
    choice = body.get("choices")
    if choice is None and depth:
        for inner in (body[name] for name in WRAPPERS if isinstance(body.get(name), dict)):
            yield from _first_answer(inner, depth - 1)
    if isinstance(choice, dict) and not choice.keys() & {*_PARTS, "text", "error", "finish_reason"}:
        choice = list(choice.values())
    if isinstance(choice, list):
        choice = choice[0] if choice else None
    if isinstance(choice, dict):
        parts = (choice, *map(choice.get, sorted(_PARTS)))
        yield from (part for part in parts if isinstance(part, dict))


def _is_error(value: Any) -> bool:
    if not isinstance(value, dict):
        return not _is_blank(value)
    codes = [one for key, one in value.items() if _plain_name(key) in _CODES]
    if any(_plain(code) in _SUCCESS for code in codes):
        return False
    texts = [one for key, one in value.items() if _plain_name(key) in _TEXTS]
    return not all(map(_is_blank, (*codes, *texts)))


def _is_blank(value: Any) -> bool:
    return not value or _plain(value) in _BLANK or _plain(value) in _SUCCESS


def _plain(value: Any) -> str:
    return str(value).strip().lower()


class _Reader:
    """Walks through an envelope and collects its messages and codes, within bounds."""

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._codes: list[tuple[int, str]] = []
        self._status: int | None = None
        self._delay_s: float | None = None
        self._generated: str | None = None
        self._left = MAX_FIELDS

    def complaint(self) -> Complaint:
        ranked = sorted(self._codes, key=lambda code: code[0])
        return Complaint(
            messages=tuple(self._messages[:MAX_ITEMS]),
            codes=tuple(dict.fromkeys(code for _, code in ranked)),
            status=self._status,
            delay_s=self._delay_s,
            generated=self._generated,
            is_json=True,
        )

    def read(self, value: Any, depth: int) -> None:
        if isinstance(value, str):
            self._read_text(value[:MAX_TEXT_CHARS], depth)
        elif depth and isinstance(value, list):
            for item in value[:MAX_ITEMS]:
                self.read(item, depth - 1)
        elif depth and isinstance(value, dict):
            self._read_object(value, depth - 1)

    def _read_object(self, fields: dict[str, Any], depth: int) -> None:
        if isinstance(fields.get("loc"), list) and isinstance(fields.get("msg"), str):
            place = ".".join(map(str, fields["loc"][:MAX_ITEMS]))
            fields = {**fields, "msg": f"{place}: {fields['msg']}"}
        for key, value in islice(fields.items(), max(self._left, 0)):
            self._left -= 1
            self._read_field(_plain_name(key), value, depth)

    def _read_field(self, name: str, value: Any, depth: int) -> None:
        if name in _CODES and isinstance(value, str | int) and not isinstance(value, bool):
            self._add_code(_CODES[name], value)
        elif name in _GENERATED and isinstance(value, str):
            self._generated = value
            self._add_code(_RANK_OF_FIELD, "failed_generation")
        elif name in _DELAYS:
            self._add_delay(value, _DELAYS[name])
        elif name == "baseresp" and isinstance(value, dict):
            # The codes of MiniMax overlap with another vendor's.
            self.read({"msg": value.get("status_msg")}, depth)
            self._add_code(0, f"base_resp.{value.get('status_code')}")
        elif name in _TEXTS or name in _CODES:
            self.read(value, depth)

    def _add_code(self, rank: int, value: str | int) -> None:
        code = _line(str(value)[:MAX_CODE_CHARS])
        # The type of problem+json is a URL, and the type of an AWS error has a namespace.
        code = (
            re.split(r"[/#]", code.rstrip("/"))[-1] if re.match(r"\w+[:.]\S+[/#]", code) else code
        )
        if " " in code:
            self._add_message(code)
            return
        if code.isdecimal() and 400 <= int(code) <= 599:
            self._status = self._status or int(code)
            rank = _STATUS_RANK
        if code and code.lower() not in _BLAND and len(self._codes) < MAX_ITEMS:
            self._codes.append((rank, code))

    def _add_delay(self, value: Any, unit: float) -> None:
        if isinstance(value, dict):
            value = value.get("seconds", 0)
        match = _DURATION.fullmatch(str(value)[:40])
        if match and not isinstance(value, bool):
            self._delay_s = max(self._delay_s or 0.0, float(match[1]) * unit)

    def _read_text(self, text: str, depth: int) -> None:
        """Add a message; if it contains JSON as text, read the JSON."""
        lead, inner = _json_inside(text) if depth else (text, None)
        self._add_message(lead)
        if _WORD.fullmatch(lead.strip()):
            self._add_code(_STATUS_RANK, lead)
        if inner is not None:
            self.read(inner, depth - 1)

    def _add_message(self, text: str) -> None:
        line = _line(text)
        if line and not any(line in message for message in self._messages):
            self._messages.append(line)


def _json_inside(text: str) -> tuple[str, Any]:
    """Return the words before the JSON in a text, and the JSON's value; None without JSON."""
    start = min((at for at in map(text.find, "{[") if at >= 0), default=-1)
    lead = text[: max(start, 0)]
    if start < 0 or _QUOTING.search(lead):
        return text, None
    for spelling in (text[start:], text[start:].replace(r"\"", '"').replace(r"\n", " ")):
        for read in (_json_at, _literal_at):
            try:
                value = read(spelling)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if _is_envelope(value):
                return _LEAD_END.sub("", lead), value
    return text, None


def _json_at(text: str) -> Any:
    return json.JSONDecoder(strict=False).raw_decode(text)[0]


def _literal_at(text: str) -> Any:
    """Return the value of a printed Python literal: some gateways pass errors on in that form."""
    if not text.startswith(("{'", "[{'")):
        raise ValueError("this is not printed by Python")
    return ast.literal_eval(text[: max(text.rfind("}"), text.rfind("]")) + 1])


def _is_envelope(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and _is_envelope(value[0])
    return isinstance(value, dict) and any(
        isinstance(key, str) and _plain_name(key) in _TEXTS for key in value
    )


def _plain_name(key: Any) -> str:
    return str(key).lower().replace("_", "").replace("-", "")


def _line(text: str) -> str:
    """Return a text as one line that can be stored."""
    plain = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return " ".join(plain.split())
