"""The values that pass through the three phases. All of them are immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from pydantic import BaseModel

from batches.engine.errors import AnswerRejected, FailureKind, ProviderError
from batches.engine.rates.announced import AnnouncedLimits

Schedule = Literal["rolling", "lockstep"]
OutcomeStatus = Literal["succeeded", "failed"]

SCHEDULES: tuple[Schedule, ...] = ("rolling", "lockstep")
# off: every prompt is sent. batch: equal requests of the batch are sent once. owner: and answers to
# equal requests of earlier batches of its owner are used.
Reuse = Literal["off", "batch", "owner"]
REUSES: tuple[Reuse, ...] = ("off", "batch", "owner")
# input: requests are sent in the order of the input. prefix: requests that begin alike are sent
# together, within what is claimed at once.
Order = Literal["input", "prefix"]
ORDERS: tuple[Order, ...] = ("input", "prefix")
# The kinds of failures that judge an answer, and not a call; for the first four, another model is
# asked unless kinds are given.
AnswerKind = Literal["schema_violation", "not_json", "refusal", "truncated", "filtered", "empty"]
ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
USUAL_KINDS: tuple[AnswerKind, ...] = ANSWER_KINDS[:4]

DEFAULT_BATCH_SIZE = 100
DEFAULT_TIMEOUT_S = 600.0
MAX_CUSTOM_ID_CHARS = 512
# The largest number that the database columns for counts can hold.
MAX_TOKENS = 2**31 - 1


class Rung(StrEnum):
    """The step of the ladder that made an answer fit its schema, cheapest first."""

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

    `restricted`: the request limits the choice of tools, so answers are checked against it.
    """

    allowed: frozenset[str] = frozenset()
    required: bool = False
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class RejectedAnswer:
    """An answer that was sent back to the model, as it was quoted, with its errors."""

    answer: str
    errors: str


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A prompt that is ready to send; nothing is left to look up.

    `tool_models` maps the name of each tool to the model of its arguments; None allows any
    arguments. `optional_as_null` says that the schema was sent in its strict form, in which an
    omitted property is null. `rejected` are the answers that were sent back with their errors.
    `first_content` is the content without them, if there are some. `ticket` is opaque: the caller
    sets it and gets it back.
    """

    index: int
    custom_id: str
    endpoint: str
    content: bytes
    response_model: type[BaseModel] | None = None
    tool_models: Mapping[str, type[BaseModel] | None] = field(default_factory=dict)
    optional_as_null: bool = False
    rejected: tuple[RejectedAnswer, ...] = ()
    first_content: bytes | None = None
    ticket: int = 0
    model: str = ""
    # The most output tokens that the body allows.
    max_output_tokens: int | None = None
    # None if unknown: then the tools of `tool_models` may be called.
    tools: ToolDemand | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call as the provider counted them, or an estimate if it did not count."""

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
class AskedModel:
    """The calls to one model for a prompt, and the tokens of its replies.

    `kind` says how its answer or its last call failed; None if it succeeded.
    """

    model: str
    kind: FailureKind | None
    calls: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model asks for; `arguments` should be JSON but may not be."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of a provider, as far as it could be read.

    `body` is one line of JSON that can be stored. `notes` describe oddities that were ignored.
    `fault` is set if the reply itself shows that its answer cannot be used for any prompt.
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
class EscalationStep:
    """A stronger model, asked if the answer of a model below fails in a kind of `when`."""

    model: str
    when: frozenset[str] = frozenset(USUAL_KINDS)


@dataclass(frozen=True, slots=True)
class LadderOptions:
    """The steps that are tried when an answer as received does not fit its schema.

    Extract the JSON from surrounding text; repair its syntax; ask the model again, up to
    `max_repair_attempts` times, quoting the errors; ask the next model of `escalate`.
    """

    extract_json: bool = True
    repair_json: bool = True
    max_repair_attempts: int = 1
    escalate: tuple[EscalationStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on an answer: a value, or a fault and the follow-up request, if any.

    `rung` is None if the request asked for nothing that can be checked.
    """

    parsed: Any = None
    rung: Rung | None = None
    fault: AnswerRejected | None = None
    follow_up: PreparedRequest | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request with its reply, or with the error of its last call. Times in seconds.

    It has both if a follow-up call failed: the reply is then the one before that call. A reply has
    its `judgement`. `spent` is the usage of all replies of the model of the request, and `below`
    are the models that were asked before it. `calls` counts the calls, `latency_s` is the time of
    the last one, `busy_s` that of all calls;
    `elapsed_s` includes the waits between them. `sent_at` and `done_at` are monotonic.
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
    below: tuple[AskedModel, ...] = ()

    @property
    def elapsed_s(self) -> float:
        return self.done_at - self.sent_at

    @property
    def calls_here(self) -> int:
        """Return the number of calls to the model of the request."""
        return self.calls - sum(model.calls for model in self.below)

    @property
    def usages(self) -> tuple[tuple[str, Usage], ...]:
        """Return each model that was asked, with the tokens of its replies."""
        below = [(model.model, model.usage) for model in self.below]
        return (*below, (self.request.model, self.spent))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one prompt. A failed outcome has a kind, a code and a message.

    `parsed` and `rung` are set for an answer that fits the requested schema. `rejected` are the
    answers before the last one, each with the errors that it was sent back with. `asked` are the
    models that were asked, in order, if there were several.
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
    rejected: tuple[RejectedAnswer, ...] = ()
    asked: tuple[AskedModel, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"
