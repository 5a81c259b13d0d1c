"""The options (knobs) of the simulated provider, and the plan of a call. No clock, no I/O."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from simulator.chance import roll
from simulator.directives import Scripted, read_script, read_step
from simulator.effects import (
    Answer,
    AnswerForm,
    BodyFault,
    BrokenBody,
    Failure,
    Hang,
    Plan,
    Reset,
)
from simulator.latency import SPECS, checked_spec, seconds
from simulator.problems import first_problem

MALFORMED: tuple[BodyFault, ...] = ("truncated", "html", "empty")

# The plan of a call without a script: a usual answer.
USUAL = Scripted()


class InvalidOption(ValueError):
    """An option that does not exist or has an invalid value; the message names it."""


def _rates_text(value: object) -> str:
    if isinstance(value, Mapping):
        value = ",".join(f"{status}={rate}" for status, rate in value.items())
    text = str(value)
    rates_by_status(text)
    return text


def _names(value: object) -> object:
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(value) if isinstance(value, Sequence) else value


def _mix_text(text: str) -> str:
    mixed(text)
    return text


Spec = Annotated[str, BeforeValidator(str), AfterValidator(checked_spec)]
Rate = Annotated[float, Field(ge=0, le=1)]
Rates = Annotated[str | Mapping[int, float], BeforeValidator(_rates_text)]
Mix = Annotated[str, AfterValidator(_mix_text)]
Names = Annotated[Sequence[str], BeforeValidator(_names)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Behaviour:
    """All options. Equal options and equal prompts lead to equal replies."""

    seed: int = Field(default=0, description="seed of the answers and of the random faults")
    latency: Spec = Field(default="0", description=f"how long a call takes: {SPECS}")
    error_rate: Rates = Field(
        default="", description="share of calls that fail, by status: 500=0.02,429=0.05"
    )
    malformed_rate: Rate = Field(
        default=0.0, description="share of calls answered 200 with truncated JSON, HTML or nothing"
    )
    reset_rate: Rate = Field(default=0.0, description="share of calls whose connection is reset")
    hang_rate: Rate = Field(default=0.0, description="share of calls that are never answered")
    mix: Mix = Field(
        default="",
        description="shares of calls, each with the words of a prompt's directive: "
        "0.02 status=429 retry_after=1; 0.01 latency=5; 0.01 body=html",
    )
    requests_per_second: float = Field(
        default=0.0, ge=0, le=1e9, description="calls above this rate get a 429; 0 = no limit"
    )
    burst: int = Field(
        default=0, ge=0, description="calls allowed at once; 0 = the calls of one second"
    )
    tokens_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1e12,
        description="tokens above this rate get a 429; tokens of a prompt count when its call "
        "arrives, tokens of an answer when it is generated; 0 = no limit",
    )
    burst_tokens: int = Field(
        default=0, ge=0, description="tokens allowed at once; 0 = the tokens of one second"
    )
    window_seconds: float = Field(
        default=0.0,
        ge=0,
        le=86400,
        description="length of fixed windows, in which all calls and tokens of the window may be "
        "used at any time; the reset counts down to its end; 0 = buckets that refill",
    )
    announced_requests: int = Field(
        default=0, ge=0, description="advertise this limit instead of the real one; 0 = real"
    )
    refusal_rate: Rate = Field(
        default=0.0, description="share of calls refused at once with 429, even within the limits"
    )
    refusal_wait: float = Field(
        default=1.0, ge=0, le=3600, description="Retry-After of such a refusal, in seconds"
    )
    announce_limits: bool = Field(default=True, description="yes or no: send x-ratelimit-* headers")
    retry_after: bool = Field(default=True, description="yes or no: send Retry-After with a 429")
    fail_from: int = Field(
        default=0, ge=0, description="all calls from this number on fail; 0 = no call"
    )
    fail_status: int = Field(default=401, ge=400, le=599, description="status of these failures")
    fail_code: str = Field(default="", description="code of these failures; empty = the usual code")
    api_key: str = Field(default="", description="the only accepted key; empty = any key or none")
    models: Names = Field(default=(), description="known models: a,b; empty = every model")
    answer_form: AnswerForm = Field(
        default="plain",
        description="form of the answers: plain, refusal, length, content_filter, empty; with a "
        "JSON Schema also fenced, prose, trailing_comma, wrong_type, missing_field, "
        "schema_violation, not_json",
    )
    prefix_cache: int = Field(
        default=0,
        ge=0,
        description="blocks of 64 characters that are kept of the beginnings of requests, which "
        "replies then count as cached tokens; 0 = no cache",
    )
    embedding_dimensions: int = Field(
        default=256, ge=1, le=8192, description="length of vectors, if the call names none"
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if sum(share for share, _ in _odds(self, "", 0)) > 1 + 1e-9:
            raise ValueError("the rates of errors, malformed, reset, hang, mix exceed 1 together")
        return self

    @property
    def bucket_size(self) -> int:
        """Return the number of calls allowed at once."""
        return self.burst or max(1, math.ceil(self.requests_per_second))

    @property
    def token_bucket_size(self) -> int:
        """Return the number of tokens allowed at once."""
        return self.burst_tokens or max(1, math.ceil(self.tokens_per_second))


def knobs(behaviour: Behaviour) -> dict[str, Any]:
    """Return the options by name, as JSON values."""
    return asdict(behaviour)


def descriptions() -> dict[str, str]:
    """Return the description of each option by name."""
    properties = TypeAdapter(Behaviour).json_schema()["properties"]
    return {name: properties[name]["description"] for name in knobs(Behaviour())}


def turned(behaviour: Behaviour, changes: Mapping[str, object]) -> Behaviour:
    """Return the behaviour with some options changed. Raise InvalidOption."""
    settings: dict[str, Any] = {**knobs(behaviour), **changes}
    try:
        return Behaviour(**settings)
    except ValidationError as error:
        raise InvalidOption(_explain(error)) from error


def plan_call(
    behaviour: Behaviour, prompt: str, number: int, turn: int = 1, model: str = ""
) -> Plan:
    """Return the plan of a call; the first call of a prompt is number 1. Raise BadDirective."""
    scripted = read_script(prompt).at(number, turn, model)
    drawn = _drawn(behaviour, prompt, number)
    spec = scripted.latency or drawn.latency or behaviour.latency
    chance = 0.5 if spec == "0" else roll(behaviour.seed, "latency", number, prompt)
    return Plan(
        number=number,
        latency=seconds(spec, chance),
        effect=scripted.effect or drawn.effect or Answer(behaviour.answer_form),
    )


def _drawn(behaviour: Behaviour, prompt: str, number: int) -> Scripted:
    odds = [(share, what) for share, what in _odds(behaviour, prompt, number) if share]
    if not odds:
        return USUAL
    chance = roll(behaviour.seed, "fault", number, prompt)
    for share, what in odds:
        if chance < share:
            return what
        chance -= share
    return USUAL


def _odds(behaviour: Behaviour, prompt: str, number: int) -> Iterator[tuple[float, Scripted]]:
    for status, rate in rates_by_status(str(behaviour.error_rate)):
        yield rate, Scripted(effect=Failure(status))
    yield behaviour.reset_rate, Scripted(effect=Reset())
    yield behaviour.hang_rate, Scripted(effect=Hang())
    if behaviour.malformed_rate:
        kind = int(roll(behaviour.seed, "malformed", number, prompt) * len(MALFORMED))
        yield behaviour.malformed_rate, Scripted(effect=BrokenBody(MALFORMED[kind]))
    yield from mixed(behaviour.mix)


@lru_cache(maxsize=64)
def mixed(text: str) -> tuple[tuple[float, Scripted], ...]:
    """Return the shares in "0.02 status=429; 0.01 reset", with their scripts. Raise ValueError."""
    return tuple(_portion(part.strip()) for part in text.split(";") if part.strip())


def _portion(text: str) -> tuple[float, Scripted]:
    share, _, words = text.partition(" ")
    step = read_step(words)
    try:
        found = float(share)
    except ValueError:
        raise ValueError(f"{text!r} does not begin with a share, such as 0.02") from None
    if not 0 <= found <= 1:
        raise ValueError(f"{text!r}: a share must be between 0 and 1")
    return found, step


@lru_cache(maxsize=64)
def rates_by_status(text: str) -> tuple[tuple[int, float], ...]:
    """Return the pairs in "500=0.02,429=0.05". Raise ValueError."""
    return tuple(_rate(pair.strip()) for pair in text.split(",") if pair.strip())


def _rate(pair: str) -> tuple[int, float]:
    status, _, rate = pair.partition("=")
    try:
        found = int(status), float(rate)
    except ValueError:
        raise ValueError(f"{pair!r} is not STATUS=RATE, such as 500=0.02") from None
    if not 400 <= found[0] <= 599:
        raise ValueError(f"{pair!r}: the status of an error must be between 400 and 599")
    if not 0 <= found[1] <= 1:
        raise ValueError(f"{pair!r}: a rate must be between 0 and 1")
    return found


def _explain(error: ValidationError) -> str:
    problem = first_problem(error)
    if problem.kind == "unexpected_keyword_argument":
        return f"unknown option {problem.path!r}; the options are {', '.join(knobs(Behaviour()))}"
    return f"{problem.path}: {problem.text}" if problem.path else problem.text
