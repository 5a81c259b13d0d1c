"""The possible effects of a call: planned in `behaviour`, carried out in `endpoints`."""

from dataclasses import dataclass
from typing import Literal

AnswerForm = Literal[
    "plain",
    "fenced",
    "prose",
    "trailing_comma",
    "wrong_type",
    "missing_field",
    "schema_violation",
    "refusal",
    "length",
    "content_filter",
    "empty",
    "not_json",
]

BodyFault = Literal[
    "truncated",
    "html",
    "empty",
    "wrong_shape",
    "huge",
    "gzip_bomb",
    "trickle",
    "nul",
    "surrogate",
    "nan",
    "deep",
    "invalid_utf8",
    "short_content_length",
    "long_content_length",
]


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful reply with an answer in this form."""

    form: AnswerForm = "plain"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error reply in the provider's envelope."""

    status: int
    code: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class BrokenBody:
    """A reply with an invalid body."""

    kind: BodyFault
    status: int = 200
    mib: int = 64
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirection to another address."""

    url: str
    status: int = 307


@dataclass(frozen=True, slots=True)
class Reset:
    """A connection that is reset (TCP RST) instead of a reply."""


@dataclass(frozen=True, slots=True)
class Hang:
    """A call that is never answered."""


Effect = Answer | Failure | BrokenBody | Redirect | Reset | Hang


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one call: a latency, then an effect. The first call of a prompt is number 1."""

    number: int
    latency: float
    effect: Effect
