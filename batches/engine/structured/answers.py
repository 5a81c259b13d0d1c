"""Read the JSON in an answer: the whole answer, a part of its text, or repaired JSON."""

import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from batches.engine.errors import AnswerRejected, FailureKind
from batches.engine.records import LadderOptions, Rung
from batches.engine.structured.excerpts import (
    MAX_SEARCHED_CHARS,
    Excerpt,
    Excerpts,
    choice_in,
    excerpts_in,
)
from batches.engine.structured.repair import repaired_json
from batches.engine.structured.thoughts import ends_in_a_mark, spoken_part

# An answer with more different JSON values than this is ambiguous.
MAX_RIVALS = 16

_HUGE = re.compile(r"[eE]\+?\d{3}|\d{300}")
_LITERALS = ("true", "false", "null", "-")
_OPEN_STRING = re.compile(r'\s*"(?:[^"\\]|\\.)*+\\?\Z', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reading:
    """A JSON value as text and as value, and the step (rung) that found it."""

    text: str
    value: Any
    rung: Rung

    def says_the_same_as(self, other: "Reading") -> bool:
        return _canonical(self.value) == _canonical(other.value)


def _canonical(value: Any) -> str:
    # Compare as text, since True is 1 in Python.
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Found:
    """The JSON value chosen as the answer, and the other values that must not contradict it."""

    reading: Reading
    rivals: tuple[Reading, ...] = ()


class Words:
    """The text of an answer, its JSON values, and a check if it ends inside a value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.excerpts: Excerpts = excerpts_in(text)

    @property
    def end_inside(self) -> bool:
        bare = self.text.strip()
        return (
            self.excerpts.ends_inside
            or (bool(bare) and any(word.startswith(bare) and word != bare for word in _LITERALS))
            or bare == "-"
            or _OPEN_STRING.match(self.text) is not None
        )


def read_answer(
    answer: str, options: LadderOptions, *, is_ended: bool, reached_limit: bool
) -> Found:
    """Return the JSON value of an answer.

    `is_ended`: the provider says that the answer is complete. `reached_limit`: the answer has as
    many tokens as were allowed. Raise AnswerRejected.
    """
    try:
        whole = Reading(answer, load(answer), Rung.PARSED)
    except ValueError as error:
        fault = AnswerRejected(FailureKind.NOT_JSON, f"the answer is not JSON: {error}")
    else:
        return Found(_ended_number(whole, is_ended=is_ended))
    try:
        return _found_within(answer, options, fault, is_ended=is_ended, reached_limit=reached_limit)
    except AnswerRejected as error:
        if reached_limit:
            raise _cut("it reached the token limit") from error
        raise


def _cut(how: str) -> AnswerRejected:
    return AnswerRejected(FailureKind.TRUNCATED, f"the answer was cut off: {how}")


def _doubtful(doubt: str, *, is_ended: bool) -> AnswerRejected:
    """Return the fault of an answer whose words contradict its JSON."""
    if is_ended:
        return AnswerRejected(FailureKind.NOT_JSON, f"the answer has no final JSON: {doubt}")
    return _cut(doubt)


def _ended_number(reading: Reading, *, is_ended: bool) -> Reading:
    """Return a reading. Raise AnswerRejected for a number at the end that may be cut off."""
    if reading.text[-1:].isdigit() and not is_ended:
        raise _cut("it ends in a number that may be incomplete")
    return reading


def check_spoken(answer: str) -> str:
    """Return an answer without thoughts before it. Raise AnswerRejected if nothing is left."""
    spoken = spoken_part(answer)
    if not spoken.strip():
        of = "nothing but thoughts" if answer.strip() else "empty"
        raise AnswerRejected(FailureKind.EMPTY, f"the answer is {of}")
    return spoken


def _found_within(
    answer: str,
    options: LadderOptions,
    fault: AnswerRejected,
    *,
    is_ended: bool,
    reached_limit: bool,
) -> Found:
    if len(answer) > MAX_SEARCHED_CHARS:
        raise fault
    spoken = check_spoken(answer)
    if spoken is not answer and options.extract_json and (value := _loaded(spoken)) is not None:
        return Found(_ended_number(Reading(spoken, value[0], Rung.EXTRACTED), is_ended=is_ended))
    words = _whole_words(spoken)
    choice = choice_in(spoken, words.excerpts.values)
    if choice is None or words.excerpts.unsure or len(choice.rivals) > MAX_RIVALS:
        raise fault
    if reached_limit and spoken[choice.chosen.end :].strip("` \t\r\n"):
        raise fault
    if not (options.extract_json or choice.chosen.text == answer.strip()):
        raise fault
    if choice.doubt:
        raise _doubtful(choice.doubt, is_ended=is_ended)
    chosen = _reading_of(choice.chosen, options)
    if chosen is None:
        raise fault
    rivals = (_reading_of(rival, options) for rival in choice.rivals)
    return Found(chosen, tuple(rival for rival in rivals if rival is not None))


def _whole_words(spoken: str) -> Words:
    """Return the words of an answer. Raise AnswerRejected if they end inside a value or mark."""
    words = Words(spoken)
    if words.end_inside:
        raise _cut("it ends inside a JSON value")
    if ends_in_a_mark(spoken):
        raise _cut("it ends inside a special token")
    return words


def _reading_of(excerpt: Excerpt, options: LadderOptions) -> Reading | None:
    text: str | None = excerpt.text
    rung = Rung.EXTRACTED
    if not excerpt.sound:
        text = repaired_json(excerpt.text) if options.repair_json else None
        rung = Rung.REPAIRED
    value = _loaded(text) if text is not None else None
    return Reading(text, value[0], rung) if text is not None and value is not None else None


def _loaded(text: str) -> tuple[Any] | None:
    try:
        return (load(text),)
    except ValueError:
        return None


def load(text: str) -> Any:
    """Return the value of a JSON text. Raise ValueError."""
    # The parser allows at most 200 levels, so that recursion over the value cannot overflow.
    value = from_json(text, allow_inf_nan=False)
    if _HUGE.search(text):
        # A number too large for a float was read as an infinity, which is not valid JSON.
        json.dumps(value, allow_nan=False)
    return value
