"""The values that travel through the three phases. Nothing here changes once made."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

from batches.engine.errors import FailureKind, ProviderError

Endpoint = Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings"]
Schedule = Literal["rolling", "lockstep"]
OutcomeStatus = Literal["succeeded", "failed"]

ENDPOINTS: tuple[Endpoint, ...] = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings")
SCHEDULES: tuple[Schedule, ...] = ("rolling", "lockstep")


class Rung(StrEnum):
    """By what step of the ladder an answer came to fit its schema, cheapest first."""

    PARSED = "parsed"
    EXTRACTED = "extracted"
    REPAIRED = "repaired"
    ASKED_AGAIN = "asked_again"


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One request of a batch as its author gave it."""

    index: int
    custom_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A prompt made ready to send; nothing is left to look up."""

    index: int
    custom_id: str
    endpoint: Endpoint
    content: bytes
    response_model: type[BaseModel] | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call as the provider counted them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered, read and checked; `body` is one line of JSON that can be stored."""

    status_code: int
    request_id: str
    body: str
    answer: str | None
    finish_reason: str
    refusal: str | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its reply, or with the error of its last call. Times in seconds.

    `calls` counts the calls made, `latency_s` is the time of the last one, `busy_s` that of all of
    them, `elapsed_s` includes the waits between. `sent_at` and `done_at` are monotonic.
    """

    request: PreparedRequest
    reply: Reply | None
    error: ProviderError | None
    calls: int
    latency_s: float
    busy_s: float
    sent_at: float
    done_at: float

    @property
    def elapsed_s(self) -> float:
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one prompt. A failed one has a kind, a code and a message."""

    index: int
    custom_id: str
    status: OutcomeStatus
    kind: FailureKind | None = None
    code: str = ""
    message: str = ""
    status_code: int | None = None
    request_id: str = ""
    body: str | None = None
    answer: str | None = None
    parsed: Any = None
    finish_reason: str = ""
    usage: Usage = Usage()
    calls: int = 0
    latency_s: float = 0.0
    busy_s: float = 0.0
    elapsed_s: float = 0.0
    done_at: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"
