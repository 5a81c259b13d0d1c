"""Bytes from a provider -> Reply, or the ProviderError that they amount to."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from batches.engine.announced import announced_limits
from batches.engine.errors import (
    AccessRefused,
    AuthError,
    ConfigError,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.records import MAX_TOKENS, Endpoint, Reply, ToolCall, Usage
from batches.engine.retry import retry_after_s
from batches.engine.tool_calls import Arguments, ChatToolCalls, Name, calls_of

# Codes by which providers say that money, not pace, is what lacks.
QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
# Parts of an answer; models that think aloud put other parts beside them.
TEXT_PARTS = frozenset({"text", "output_text"})
MAX_MESSAGE_CHARS = 500
MAX_REQUEST_ID_CHARS = 200
MAX_CODE_CHARS = 200
MAX_REASON_CHARS = 64
MAX_ERROR_BODY_BYTES = 16_384


def _count(value: Any) -> int:
    """A count of tokens; 0 for what is none. An odd count must not cost the answer."""
    return min(value, MAX_TOKENS) if isinstance(value, int) and value > 0 else 0


Tokens = Annotated[int, BeforeValidator(_count)]


class _Details(BaseModel):
    cached_tokens: Tokens = 0
    reasoning_tokens: Tokens = 0


class _ChatUsage(BaseModel):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        return _usage(
            self.prompt_tokens,
            self.completion_tokens,
            self.prompt_tokens_details,
            self.completion_tokens_details,
        )


class _ResponseUsage(BaseModel):
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        return _usage(
            self.input_tokens,
            self.output_tokens,
            self.input_tokens_details,
            self.output_tokens_details,
        )


def _usage(
    given: int, made: int, given_details: _Details | None, made_details: _Details | None
) -> Usage:
    return Usage(
        input_tokens=given,
        output_tokens=made,
        cached_tokens=given_details.cached_tokens if given_details else 0,
        reasoning_tokens=made_details.reasoning_tokens if made_details else 0,
    )


class _Part(BaseModel):
    type: str = "text"
    text: str | None = None
    refusal: str | None = None


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: ChatToolCalls = Field(default_factory=list)

    @property
    def text(self) -> str | None:
        """The text; some servers give it in parts, beside others such as their thoughts."""
        return _text_of(self.content) if isinstance(self.content, list) else self.content


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _ChatCompletion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _ChatUsage | None = None


def _text_of(parts: Iterable[_Part]) -> str | None:
    texts = [part.text for part in parts if part.type in TEXT_PARTS and part.text is not None]
    return "".join(texts) if texts else None


class _Item(BaseModel):
    type: str = ""
    content: list[_Part] | None = None
    call_id: Name = ""
    name: Name = ""
    arguments: Arguments = ""


class _Incomplete(BaseModel):
    reason: str | None = None


class _Failure(BaseModel):
    message: str | None = None
    code: str | int | None = None
    type: str | None = None


class _Response(BaseModel):
    status: str | None = None
    output: list[_Item]
    incomplete_details: _Incomplete | None = None
    error: _Failure | None = None
    usage: _ResponseUsage | None = None


class _Embeddings(BaseModel):
    data: list[Any] = Field(min_length=1)
    usage: _ChatUsage | None = None


class _ErrorBody(BaseModel):
    error: _Failure | str


def read_reply(
    endpoint: Endpoint, *, status_code: int, headers: Mapping[str, str], raw: bytes
) -> Reply:
    """The reply in these bytes.

    Raises the ProviderError that fits a status other than 200, and MalformedReply for a 200 that
    is no reply of this endpoint.
    """
    request_id = _request_id(headers)
    if status_code != 200:
        raise error_of(status_code, headers, raw)
    try:
        body = storable(raw)
        reply = READERS[endpoint](status_code, request_id, body)
    except (ValueError, RecursionError) as error:
        failure = _failure_in(raw)
        if failure is not None:
            raise error_of(_status_in(failure), headers, raw) from error
        raise MalformedReply(
            f"a 200 that is no reply: {_first_fault(error)}",
            status_code=status_code,
            request_id=request_id,
        ) from error
    limits = announced_limits(headers)
    return replace(reply, limits=limits) if limits else reply


def _read_chat(status_code: int, request_id: str, body: str) -> Reply:
    completion = _ChatCompletion.model_validate_json(body)
    choice = completion.choices[0]
    return Reply(
        status_code=status_code,
        request_id=request_id,
        body=body,
        answer=choice.message.text,
        finish_reason=(choice.finish_reason or "")[:MAX_REASON_CHARS],
        refusal=choice.message.refusal,
        usage=completion.usage.usage() if completion.usage else Usage(),
        tool_calls=calls_of(choice.message.tool_calls),
    )


def _read_response(status_code: int, request_id: str, body: str) -> Reply:
    response = _Response.model_validate_json(body)
    if response.status == "failed":
        message = (response.error and response.error.message) or "the response failed"
        raise ServerError(message, status_code=status_code, request_id=request_id, body=body)
    parts = [
        part for item in response.output for part in item.content or () if item.type == "message"
    ]
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return Reply(
        status_code=status_code,
        request_id=request_id,
        body=body,
        answer=_text_of(parts),
        finish_reason="length"
        if reason == "max_output_tokens"
        else (reason or "stop")[:MAX_REASON_CHARS],
        refusal=next((part.refusal for part in parts if part.refusal), None),
        usage=response.usage.usage() if response.usage else Usage(),
        tool_calls=tuple(
            ToolCall(item.call_id, item.name, item.arguments)
            for item in response.output
            if item.type == "function_call"
        ),
    )


def _read_embeddings(status_code: int, request_id: str, body: str) -> Reply:
    embeddings = _Embeddings.model_validate_json(body)
    return Reply(
        status_code=status_code,
        request_id=request_id,
        body=body,
        answer=None,
        finish_reason="stop",
        refusal=None,
        usage=embeddings.usage.usage() if embeddings.usage else Usage(),
    )


READERS: dict[Endpoint, Callable[[int, str, str], Reply]] = {
    "/v1/chat/completions": _read_chat,
    "/v1/responses": _read_response,
    "/v1/embeddings": _read_embeddings,
}


def error_of(status_code: int, headers: Mapping[str, str], raw: bytes) -> ProviderError:
    """The error that a status and its body amount to."""
    found = _failure_in(raw)
    failure = found or _Failure(message=raw[:MAX_MESSAGE_CHARS].decode("utf-8", "replace"))
    code = _plain(str(failure.code or failure.type or ""))[:MAX_CODE_CHARS]
    message = _plain(failure.message or "no message")
    codes = {code, failure.type or ""}
    cls = _class_of(status_code, codes, message, in_json=found is not None)
    error = cls(
        f"HTTP {status_code}: {message}",
        status_code=status_code,
        code=code or None,
        request_id=_request_id(headers),
        retry_after_s=retry_after_s(headers),
        body=_error_body(raw, message, code),
    )
    error.limits = announced_limits(headers)
    if isinstance(error, RateLimited) and _is_about_tokens(failure.type, message):
        error.unit = "tokens"
    return error


def _is_about_tokens(kind: str | None, message: str) -> bool:
    return kind == "tokens" or bool(_TOKENS_A_MINUTE.search(message))


def _error_body(raw: bytes, message: str, code: str) -> str:
    """The body of an error as one line of JSON; the envelope is made where there is none."""
    if len(raw) <= MAX_ERROR_BODY_BYTES and _failure_in(raw) is not None:
        return storable(raw)
    envelope = {"message": message, "type": None, "param": None, "code": code or None}
    return json.dumps({"error": envelope}, ensure_ascii=False)


def _plain(text: str) -> str:
    """A text of a provider, short and in one line."""
    return " ".join(text[:MAX_MESSAGE_CHARS].replace("\x00", "").split())


def _request_id(headers: Mapping[str, str]) -> str:
    return headers.get("x-request-id", "").replace("\x00", "")[:MAX_REQUEST_ID_CHARS]


_BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthError,
    402: QuotaError,
    404: ConfigError,
    408: ServerError,
    409: ServerError,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}

# Some providers tell by the code, not by the status, that the key is no good, or the model.
_BY_CODE: dict[str, type[ProviderError]] = {
    **dict.fromkeys(QUOTA_CODES, QuotaError),
    "invalid_api_key": AuthError,
    "model_not_found": ConfigError,
}

# Where a provider gives no code for it, it says in words that the money is used up; not after a
# quotation mark or a colon, where it may be a prompt that is quoted ...
_MONEY = re.compile(
    r"[^'\"`:]{0,80}(?:credit balance|spend(?:ing)? limit|specified api usage limits)", re.I
)
_MONEY_STATUSES = frozenset({400, 403, 429})
# ... or that the key is none ...
_NO_KEY = re.compile(r"api key not (?:valid|found)", re.I)
# ... or that it is this prompt that it refuses, not the key ...
_MODERATION = re.compile(r"moderat|flagged|content (?:policy|filter)|safety|blocked by", re.I)
# ... or that this prompt is more than a minute's allowance, however long one waits.
_TOO_LARGE = re.compile(r"request too large", re.I)
_TOKENS_A_MINUTE = re.compile(r"tokens per (?:minute|min|day)|\bTPM\b|\bTPD\b|token rate", re.I)


def _class_of(
    status_code: int, codes: set[str], message: str, *, in_json: bool
) -> type[ProviderError]:
    said = next((cls for code, cls in _BY_CODE.items() if code in codes), None)
    said = said or _class_in_words(status_code, message)
    if said is not None:
        return said
    if status_code == 403:
        return _class_of_forbidden(" ".join((message, *codes)), in_json=in_json)
    if 300 <= status_code < 400:
        return ConfigError
    unknown = ServerError if status_code >= 500 else RequestRefused
    return _BY_STATUS.get(status_code, unknown)


def _class_in_words(status_code: int, message: str) -> type[ProviderError] | None:
    if status_code in _MONEY_STATUSES and _MONEY.match(message):
        return QuotaError
    if status_code == 400 and _NO_KEY.match(message):
        return AuthError
    if status_code == 429 and _TOO_LARGE.match(message):
        return RequestRefused
    return None


def _class_of_forbidden(words: str, *, in_json: bool) -> type[ProviderError]:
    if not in_json:
        # A page of whatever stands before the provider, which may have stumbled over the prompt.
        return ConfigError
    return RequestRefused if _MODERATION.search(words) else AccessRefused


def _failure_in(raw: bytes) -> _Failure | None:
    try:
        error = _ErrorBody.model_validate_json(raw).error
    except ValidationError:
        return None
    return _Failure(message=error) if isinstance(error, str) else error


def _status_in(failure: _Failure) -> int:
    """Some gateways answer 200 with the status in the error's code."""
    code = failure.code
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, fault["loc"]))
        return f"{place}: {fault['msg']}" if place else fault["msg"]
    return str(error) or type(error).__name__


# An escaped backslash first, so that `\\u0000` (a backslash and a text) is left alone.
_ESCAPE = re.compile(
    r"\\\\"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<unstorable>\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_RISKY_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def storable(raw: bytes) -> str:
    """A JSON text as one line that every database and parser takes.

    NUL and lone surrogates become U+FFFD, NaN and infinities null. Raises ValueError or
    RecursionError for what is no JSON.
    """
    text = raw.decode("utf-8")
    if _RISKY_ESCAPE.search(text):
        text = _ESCAPE.sub(lambda m: "\\ufffd" if m["unstorable"] else m[0], text)
    if "\n" in text or "\r" in text or "NaN" in text or "Infinity" in text:
        # A float too large becomes an infinity only when read, so it is read as null too.
        value = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) != float("inf") else None
