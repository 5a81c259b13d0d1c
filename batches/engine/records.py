"""The values that travel through the three phases. Nothing here changes once made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

from batches.engine.errors import AnswerRejected, FailureKind, ProviderError
from batches.engine.rates.announced import AnnouncedLimits

Schedule = Literal["rolling", "lockstep"]
OutcomeStatus = Literal["succeeded", "failed"]

SCHEDULES: tuple[Schedule, ...] = ("rolling", "lockstep")

# What the columns of counts hold.
MAX_TOKENS = 2**31 - 1


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
class ToolDemand:
    """The tools that an answer may call, and whether it must call one of them.

    `restricted`: the request itself limits the choice, so that an answer is judged by it.
    """

    allowed: frozenset[str] = frozenset()
    required: bool = False
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A prompt made ready to send; nothing is left to look up.

    `tool_models` has the model of the arguments of each tool by its name, None for a tool whose
    arguments may be anything. `optional_as_null` says that the schema was sent in the form of the
    strict mode, in which what an answer leaves out is null. `asked_again` counts the answers that
    were sent back with what was wrong. `ticket` is the caller's, and comes back as it was.
    """

    index: int
    custom_id: str
    endpoint: str
    content: bytes
    response_model: type[BaseModel] | None = None
    tool_models: Mapping[str, type[BaseModel] | None] = field(default_factory=dict)
    optional_as_null: bool = False
    asked_again: int = 0
    ticket: int = 0
    model: str = ""
    # What the body says of the longest answer, in tokens.
    max_output_tokens: int | None = None
    # None where that is not known: then the tools of `tool_models` may be called.
    tools: ToolDemand | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call as the provider counted them, or an estimate where it did not."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    is_estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=min(self.input_tokens + other.input_tokens, MAX_TOKENS),
            output_tokens=min(self.output_tokens + other.output_tokens, MAX_TOKENS),
            cached_tokens=min(self.cached_tokens + other.cached_tokens, MAX_TOKENS),
            reasoning_tokens=min(self.reasoning_tokens + other.reasoning_tokens, MAX_TOKENS),
            is_estimated=self.is_estimated or other.is_estimated,
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model asks for; `arguments` is what should be JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider answered, as far as it could be read.

    `body` is one line of JSON that can be stored. `notes` say what was odd and left out. `fault` is
    set if the reply itself shows that its answer is of no use, whatever was asked for.
    """

    status_code: int
    request_id: str
    body: str
    answer: str | None
    finish_reason: str
    refusal: str | None
    usage: Usage
    tool_calls: tuple[ToolCall, ...] = ()
    limits: AnnouncedLimits | None = None
    notes: tuple[str, ...] = ()
    fault: AnswerRejected | None = None


@dataclass(frozen=True, slots=True)
class LadderOptions:
    """What is done so that an answer fits its schema, after it was read as it came.

    Strip what stands around the JSON; mend its syntax; ask again, so often, with the errors.
    """

    extract_json: bool = True
    repair_json: bool = True
    max_repair_attempts: int = 1


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an answer is worth: a value, or a fault and the request that asks again, if any.

    `rung` is None where nothing was asked that could be judged.
    """

    parsed: Any = None
    rung: Rung | None = None
    fault: AnswerRejected | None = None
    follow_up: PreparedRequest | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its reply, or with the error of its last call. Times in seconds.

    It has both if the call failed that should have brought a better answer than that reply.
    `judgement` is that of the reply, if it was judged already, `spent` the usage of replies before
    it. `calls` counts the calls made, `latency_s` is the time of the last one, `busy_s` that of all
    of them, `elapsed_s` includes the waits between. `sent_at` and `done_at` are monotonic.
    """

    request: PreparedRequest
    reply: Reply | None
    error: ProviderError | None
    calls: int
    latency_s: float
    busy_s: float
    sent_at: float
    done_at: float
    judgement: Judgement | None = None
    spent: Usage = Usage()

    @property
    def elapsed_s(self) -> float:
        return self.done_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one prompt. A failed one has a kind, a code and a message.

    `parsed` and `rung` belong to an answer that fits the schema that was asked for.
    """

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
    rung: Rung | None = None
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
