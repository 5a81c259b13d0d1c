"""Directives: `[simulate: status=500 times=2]` in a prompt is a script for the calls of that
prompt.

Each bracket with `times=N` is a step that lasts N calls; the steps follow one another. A bracket
without `times` applies to every call outside of the steps, and its latency to every call. A bracket
with `turn=1` applies to first questions, with `turn=2` to questions after one answer, and so on.
A bracket with `model=NAME` applies to calls of this model.
"""

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from simulator.effects import (
    Answer,
    AnswerForm,
    BodyFault,
    BrokenBody,
    Effect,
    Failure,
    Hang,
    Redirect,
    Reset,
)
from simulator.latency import checked_spec
from simulator.problems import first_problem

OPENING = "[simulate:"

# One level of inner brackets is allowed, for http://[::1]:8000/
_DIRECTIVE = re.compile(r"\[simulate:((?:[^\[\]]|\[[^\[\]]*\])*)\]")


class BadDirective(ValueError):
    """A directive in a prompt is invalid; the message says why."""


class Directive(BaseModel):
    """The options of one bracket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: Annotated[int, Field(ge=1)] | None = None
    turn: Annotated[int, Field(ge=1)] | None = None
    model: str | None = None
    latency: Annotated[str, AfterValidator(checked_spec)] | None = None
    status: Annotated[int, Field(ge=300, le=599)] | None = None
    code: str | None = None
    retry_after: str | None = None
    body: BodyFault | None = None
    mib: Annotated[int, Field(ge=1, le=4096)] | None = None
    redirect: str | None = None
    answer: AnswerForm | None = None
    reset: bool = False
    hang: bool = False

    @model_validator(mode="after")
    def _names_one_outcome(self) -> Self:
        outcomes = (self.redirect, self.answer, self.body, self.reset or None, self.hang or None)
        if sum(outcome is not None for outcome in outcomes) > 1:
            raise ValueError("name only one of body, redirect, answer, reset and hang")
        if self.status is not None and (self.answer or self.reset or self.hang):
            raise ValueError("status can only be combined with body or redirect")
        if self.mib is not None and self.body not in {"huge", "gzip_bomb"}:
            raise ValueError("mib needs body=huge or body=gzip_bomb")
        if self.status is None and (self.code or self.retry_after):
            raise ValueError("code and retry_after need a status")
        if self.redirect and not 300 <= (self.status or 307) <= 399:
            raise ValueError("the status of a redirect must be between 300 and 399")
        if self.status and self.status < 400 and not self.redirect:
            raise ValueError("a status below 400 needs redirect")
        return self

    def applies_to(self, turn: int, model: str) -> bool:
        """Return True if the directive is for calls of this turn and model."""
        return self.turn in (None, turn) and self.model in (None, model)

    def effect(self) -> Effect | None:
        """Return the outcome that the directive names, if any."""
        if self.reset or self.hang:
            return Reset() if self.reset else Hang()
        if self.answer:
            return Answer(self.answer)
        if self.redirect:
            return Redirect(self.redirect, self.status or 307)
        if self.body:
            return BrokenBody(self.body, self.status or 200, self.mib or 64, self.retry_after)
        return Failure(self.status, self.code, self.retry_after) if self.status else None


class Scripted(NamedTuple):
    """The script for one call; None leaves the latency or the effect to chance."""

    latency: str | None = None
    effect: Effect | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """The directives of one prompt."""

    always: tuple[Directive, ...] = ()
    steps: tuple[Directive, ...] = ()

    def at(self, number: int, turn: int = 1, model: str = "") -> Scripted:
        """Return the script for a call, by its number and its turn, which start at 1, and its
        model."""
        latency, effect = None, None
        for directive in (*self.always, *self._step(number, turn, model)):
            if not directive.applies_to(turn, model):
                continue
            latency = directive.latency or latency
            effect = directive.effect() or effect
        return Scripted(latency, effect)

    def _step(self, number: int, turn: int, model: str) -> tuple[Directive, ...]:
        for step in self.steps:
            if not step.applies_to(turn, model):
                continue
            number -= step.times or 0
            if number <= 0:
                return (step,)
        return ()


NO_SCRIPT = Script()


def read_script(prompt: str) -> Script:
    """Return the script in a prompt; most prompts have none. Raise BadDirective."""
    if OPENING not in prompt:
        return NO_SCRIPT
    found = [_read(match[1]) for match in _DIRECTIVE.finditer(prompt)]
    return Script(
        always=tuple(one for one in found if one.times is None),
        steps=tuple(one for one in found if one.times is not None),
    )


def read_step(words: str) -> Scripted:
    """Return the script in the words of one directive. Raise BadDirective."""
    directive = _read(f" {words}")
    return Scripted(directive.latency, directive.effect())


def _read(words: str) -> Directive:
    options: dict[str, str] = {}
    for word in words.split():
        name, separator, value = word.partition("=")
        options[name] = value if separator else "true"
    try:
        return Directive.model_validate(options)
    except ValidationError as error:
        raise BadDirective(f"[simulate:{words}]: {_explain(error)}") from error


def _explain(error: ValidationError) -> str:
    problem = first_problem(error)
    if problem.kind == "extra_forbidden":
        known = ", ".join(Directive.model_fields)
        return f"unknown option {problem.path!r}; the options are {known}"
    return f"{problem.path}: {problem.text}" if problem.path else problem.text
