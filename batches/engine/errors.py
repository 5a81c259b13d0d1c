"""What can go wrong with a prompt. The class says what happened, its fields what to do.

EngineError
├── PromptRejected            cannot be prepared; nothing was sent
├── AnswerRejected            a reply came, its answer is of no use
└── ProviderError             a call failed
    ├── AuthError             the key is refused                          pause
    │   └── AccessRefused     a 403: the key, or only this prompt         final; pause if in a row
    ├── QuotaError            the money or the quota is used up           pause
    ├── RateLimited           too many requests or tokens a minute        retry, costs no attempt
    ├── Overloaded            the provider has no capacity                retry
    ├── ServerError           other 5xx, 408, 409, 425, 499, ...          retry
    ├── NetworkError          a connection broke                          retry
    │   ├── Unreachable       there was no connection, nothing was sent   retry, costs no attempt
    │   └── NoFileLeft        this process can open no more files         retry, costs no attempt
    ├── DeadlineExceeded      no whole reply before the deadline          retry
    ├── MalformedReply        a 200 that is no reply                      retry
    ├── RequestRefused        the provider will never take this request   final
    │   └── AnswerUnfit       the answer it generated does not fit        read as a reply
    ├── ConfigError           unknown model or path, a redirect           final; pause if in a row
    │   └── EndpointUnusable  forbidden address, untrusted certificate    pause
    ├── TargetAway            nothing was answered for too long           pause
    └── InternalError         a defect of ours                            final

While no call to a target is answered, errors that a dead target gives cost no attempt
(`liveness.py`). The classes are those of the provider error table in `docs/errors.md`.
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
    """What an error asks for."""

    RETRY = "retry"
    PAUSE = "pause"
    FINAL = "final"


class EngineError(Exception):
    """Anything that keeps a prompt from succeeding."""

    kind: FailureKind

    def __init__(self, message: str) -> None:
        # It may quote what a provider wrote, and is stored in several places.
        self.message = storable_text(message)
        super().__init__(self.message)


class PromptRejected(EngineError):
    """A prompt that cannot be made into a request; `param` names the field at fault."""

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
    """A call that brought no reply.

    `retry_after_s` is the least wait that was asked for, `limits` what the headers announced.
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
    """The calls beside it tell whether it is the key that is refused, or this prompt."""

    decision = Decision.FINAL


class QuotaError(ProviderError):
    kind = FailureKind.QUOTA
    decision = Decision.PAUSE
    costs_attempt = False


class RateLimited(ProviderError):
    """`unit` is what there were too many of."""

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
    """No connection was made: the provider has seen nothing of the request."""

    costs_attempt = False


class NoFileLeft(NetworkError):
    """No connection, because this process can open no more files: not the prompt's fault."""

    costs_attempt = False


class DeadlineExceeded(ProviderError):
    kind = FailureKind.TIMEOUT


class MalformedReply(ProviderError):
    kind = FailureKind.MALFORMED


class RequestRefused(ProviderError):
    kind = FailureKind.REQUEST
    decision = Decision.FINAL


class AnswerUnfit(RequestRefused):
    """The provider generated an answer that does not fit what was asked for."""


class ConfigError(ProviderError):
    kind = FailureKind.CONFIG
    decision = Decision.FINAL
    costs_attempt = False


class EndpointUnusable(ConfigError):
    """Nothing was sent, and nothing can be sent to this address."""

    decision = Decision.PAUSE


class TargetAway(ProviderError):
    """A target has answered nothing for longer than is waited for; `cause` is its last error."""

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
