"""Errors of prompts. The class says what happened, its fields say what to do.

EngineError
├── PromptRejected            cannot be prepared; nothing was sent
├── AnswerRejected            a reply came, but its answer cannot be used
└── ProviderError             a call failed
    ├── AuthError             the API key is refused                      pause
    │   └── AccessRefused     a 403: the key, or only this prompt         final; pause if in a row
    ├── QuotaError            the credit or the quota is used up          pause
    ├── RateLimited           too many requests or tokens per minute      retry, costs no attempt
    ├── Overloaded            the provider has no capacity                retry
    ├── ServerError           other 5xx, 408, 409, 425, 499, ...          retry
    ├── NetworkError          a connection broke                          retry
    │   ├── Unreachable       no connection was made, nothing was sent    retry, costs no attempt
    │   └── NoFileLeft        this process can open no more files         retry, costs no attempt
    ├── DeadlineExceeded      no complete reply within the timeout        retry
    ├── MalformedReply        HTTP 200 with a body that cannot be read    retry
    │   └── NotAnApi          a web page or no HTTP, as of a wrong address retry; pause if in a row
    ├── RequestRefused        the provider rejected this request          final
    │   └── AnswerUnfit       the provider could not make its answer fit  judged as a reply
    ├── ConfigError           unknown model or path, a redirect           final; pause if in a row
    │   └── EndpointUnusable  forbidden address, untrusted certificate    pause
    ├── TargetAway            the provider answered nothing for too long  pause
    └── InternalError         a bug in this program                       final

While no call to a target is answered, errors that a dead target causes cost no attempt
(`liveness.py`). `docs/errors.md` has a table of the provider errors by class.
"""

from enum import StrEnum
from typing import ClassVar

from batches.engine.plain_text import storable_text
from batches.engine.rates.announced import AnnouncedLimits
from batches.engine.rates.pace_rules import Unit


class FailureKind(StrEnum):
    """Why a prompt failed; stored on its result and counted on its batch."""

    REJECTED = "rejected"
    AUTH = "auth"
    QUOTA = "quota"
    RATE = "rate"
    OVERLOAD = "overload"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    REQUEST = "request"
    CONFIG = "config"
    INTERNAL = "internal"
    REFUSAL = "refusal"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    EMPTY = "empty"
    NOT_JSON = "not_json"
    SCHEMA_VIOLATION = "schema_violation"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    WORKER_CRASHED = "worker_crashed"
    UNSTORABLE = "unstorable"


class Decision(StrEnum):
    """The action that an error asks for."""

    RETRY = "retry"
    PAUSE = "pause"
    FINAL = "final"


class EngineError(Exception):
    """An error that keeps a prompt from succeeding."""

    kind: FailureKind

    def __init__(self, message: str) -> None:
        # The message may quote the provider's text, and is stored in several places.
        self.message = storable_text(message)
        super().__init__(self.message)


class PromptRejected(EngineError):
    """A prompt that cannot be made into a request; `param` names the invalid field."""

    kind = FailureKind.REJECTED

    def __init__(self, message: str, *, param: str, code: str = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class AnswerRejected(EngineError):
    """A reply whose answer is not what the prompt asked for."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ProviderError(EngineError):
    """A call that returned no usable reply.

    `retry_after_s` is the least wait that the provider asked for, `limits` the rate limits that its
    headers advertised.
    """

    decision: ClassVar[Decision] = Decision.RETRY
    costs_attempt: ClassVar[bool] = True

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
        body: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.body = body
        self.limits: AnnouncedLimits | None = None


class AuthError(ProviderError):
    kind = FailureKind.AUTH
    decision = Decision.PAUSE
    costs_attempt = False


class AccessRefused(AuthError):
    """A 403. Other calls show whether the provider refuses the API key or only this prompt."""

    decision = Decision.FINAL


class QuotaError(ProviderError):
    kind = FailureKind.QUOTA
    decision = Decision.PAUSE
    costs_attempt = False


class RateLimited(ProviderError):
    """A refusal for pace; `unit` says whether requests or tokens were over the limit."""

    kind = FailureKind.RATE
    costs_attempt = False
    unit: Unit = "requests"


class Overloaded(ProviderError):
    kind = FailureKind.OVERLOAD


class ServerError(ProviderError):
    kind = FailureKind.SERVER


class NetworkError(ProviderError):
    kind = FailureKind.NETWORK


class Unreachable(NetworkError):
    """No connection was made, so the provider has not seen the request."""

    costs_attempt = False


class NoFileLeft(NetworkError):
    """No connection was made, because this process can open no more files.

    The prompt is not at fault.
    """

    costs_attempt = False


class DeadlineExceeded(ProviderError):
    kind = FailureKind.TIMEOUT


class MalformedReply(ProviderError):
    kind = FailureKind.MALFORMED


class NotAnApi(MalformedReply):
    """A web page, or no HTTP at all: the address is not that of an API, or it is for a while."""


class RequestRefused(ProviderError):
    kind = FailureKind.REQUEST
    decision = Decision.FINAL


class AnswerUnfit(RequestRefused):
    """The provider generated an answer that does not fit the requested schema."""


class ConfigError(ProviderError):
    kind = FailureKind.CONFIG
    decision = Decision.FINAL
    costs_attempt = False


class EndpointUnusable(ConfigError):
    """The address cannot be used: nothing was sent, and nothing can be sent to it."""

    decision = Decision.PAUSE


class TargetAway(ProviderError):
    """A target answered nothing for longer than `Patience.total_s`; `cause` is its last error."""

    decision = Decision.PAUSE
    costs_attempt = False

    def __init__(self, cause: ProviderError, *, waited_s: float) -> None:
        super().__init__(
            f"no answer for {waited_s:.0f} s: {cause.message}",
            status_code=cause.status_code,
            code=cause.code,
            request_id=cause.request_id,
            body=cause.body,
        )
        self.kind = cause.kind
        self.cause = cause


class InternalError(ProviderError):
    kind = FailureKind.INTERNAL
    decision = Decision.FINAL
