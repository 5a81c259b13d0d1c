"""The JSON values in an answer that says more than that, and which one is the answer.

Linear in the length of the answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batches.engine.structured.labels import (
    Label,
    Turn,
    announces_more,
    is_taken_back,
    label_of,
    next_turn,
)
from batches.engine.structured.spans import OPENING, span_at

MAX_SEARCHED_CHARS = 512 * 1024
# Each costs a look at all of the text before it, for a message that few people read.
MAX_BROKEN = 100
MAX_LABEL_CHARS = 200

_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A value in an answer. `sound`: it is JSON as it stands; `alone`: it has its own lines.

    `adjacent`: there is nothing between it and the value before it.
    """

    text: str
    sound: bool
    start: int = 0
    end: int = 0
    alone: bool = False
    adjacent: bool = False
    label: Label = Label.NONE

    @property
    def is_final(self) -> bool:
        """Return True if this may be the answer, and is no remark or example."""
        return self.label is Label.FINAL or (self.alone and not self.label.is_aside)


@dataclass(frozen=True, slots=True)
class Excerpts:
    """All values of a text. `ends_inside`: the text ends before its last value does; `unsure`:
    the last value is so broken that this cannot be told."""

    values: tuple[Excerpt, ...]
    ends_inside: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The value that is taken for the answer, and those that it must not contradict.

    `doubt`: what the words behind it hold against it.
    """

    chosen: Excerpt
    rivals: tuple[Excerpt, ...]
    doubt: str | None = None


def excerpts_in(text: str) -> Excerpts:
    """Return the objects and arrays in a text; what a fence encloses, and nothing else, may be any
    JSON."""
    if len(text) > MAX_SEARCHED_CHARS:
        return Excerpts(())
    strings = tuple(value for value in _fenced(text) if _STRING.fullmatch(value.text))
    if strings:
        # Brackets inside a string are its text.
        return Excerpts(strings)
    found: list[Excerpt] = []
    start = broken = behind = 0
    while broken < MAX_BROKEN and (opening := OPENING.search(text, start)):
        span = span_at(text, opening.start())
        if not span.closed:
            # The model went on after it: it was not cut, a bracket was forgotten.
            fenced = _FENCE in text[: span.start] and text.rstrip().endswith(_FENCE)
            unsure = span.closed is None or fenced
            return Excerpts(tuple(found), ends_inside=not unsure, unsure=unsure)
        broken += not span.sound
        found.append(_excerpt(text, span.start, span.end, behind, sound=span.sound))
        start = behind = span.end
    return Excerpts(tuple(found or _fenced(text)))


def _excerpt(text: str, start: int, end: int, behind: int, *, sound: bool) -> Excerpt:
    begin = max(behind, start - MAX_LABEL_CHARS)
    before = text[begin:start]
    # What begins in the middle of a line stands behind something.
    begins_line = bool(_BEGINS_LINE.search(before if begin == 0 else f".{before}"))
    label = label_of(before)
    if label is Label.FINAL and not _ENDS_SENTENCE.match(text, end):
        label = Label.REVISION
    return Excerpt(
        text[start:end],
        sound,
        start,
        end,
        alone=begins_line and bool(_ENDS_LINE.match(text, end)),
        adjacent=behind > 0 and not text[behind:start].strip(" \t\r\n,;"),
        label=label,
    )


def _fenced(answer: str) -> Iterator[Excerpt]:
    """Yield what is between two fences that enclose the whole answer."""
    text = answer.strip()
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return
    _language, newline, rest = text[: -len(_FENCE)].partition("\n")
    if newline and _FENCE not in rest:
        yield Excerpt(rest.strip(), sound=True, end=len(answer), alone=True)


def choice_in(text: str, values: Sequence[Excerpt]) -> Choice | None:
    """Return the value of a text that is the answer, None if none is.

    It is chosen by where it stands and what the words around it say. The schema has no say in it,
    so that no example can stand in for a wrong answer.
    """
    values = _weighty(values)
    turn = _invented_turn(text, values)
    if turn is not None and turn.sure and next_turn(text, 0, values[0].start) is None:
        values = [value for value in values if value.end <= turn.start]
        text = text[: turn.start]
        turn = None
    choice = _choice_among(values)
    if choice is None:
        return None
    rivals = choice.rivals
    if turn is not None:
        # A dialogue from its beginning, or none: nothing tells which turn is the answer.
        rivals = tuple(value for value in values if value is not choice.chosen)
    return Choice(choice.chosen, rivals, _doubt_behind(text, values, choice.chosen))


def _weighty(values: Sequence[Excerpt]) -> Sequence[Excerpt]:
    return [value for value in values if not _is_trivial(value)] or values


def _invented_turn(text: str, values: Sequence[Excerpt]) -> Turn | None:
    """Return where, behind a value, the model goes on with what a user says next."""
    ends = [*(value.start for value in values[1:]), len(text)]
    for value, end in zip(values, ends, strict=False):
        if (turn := next_turn(text, value.end, end)) is not None:
            return turn
    return None


def _choice_among(values: Sequence[Excerpt]) -> Choice | None:
    """Return the last value that stands alone or is called final.

    What comes after it may contradict it, unless it is called an example. Where none stands alone,
    all of them may contradict each other. Examples alone are no answer.
    """
    if all(value.label is Label.EXAMPLE for value in values):
        return None
    final = [number for number, value in enumerate(values) if value.is_final]
    if final:
        last = final[-1]
        later = [v for v in values[last + 1 :] if v.alone or not v.label.is_aside]
        return Choice(values[last], (*_neighbours(values, last), *later))
    return Choice(values[-1], tuple(values[:-1]))


def _doubt_behind(text: str, values: Sequence[Excerpt], chosen: Excerpt) -> str | None:
    """Return what the words behind a value hold against it, None if nothing."""
    later = [value for value in values if value.start >= chosen.end]
    starts = [chosen.end, *(value.end for value in later)]
    ends = [*(value.start for value in later), len(text)]
    gaps = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    if any(is_taken_back(gap) for gap in gaps):
        return "it takes its JSON back"
    last = later[-1] if later else chosen
    fenced = _LAST_FENCE.search(text[max(0, last.start - MAX_LABEL_CHARS) : last.start])
    if announces_more(gaps[-1]) or _opens_fence(gaps[-1], inside=fenced is not None):
        return "it announces JSON that does not follow"
    return None


def _opens_fence(behind: str, *, inside: bool) -> bool:
    """Return True if a text behind a value ends with a fence that was opened.

    `inside`: the value stands in a fence itself, which the first one closes.
    """
    last = _LAST_FENCE.search(behind)
    if last is None:
        return False
    before = behind[: last.start()].strip("*_. \t\r\n")
    if not before or last["language"]:
        return bool(last["language"])
    return (before.count(_FENCE) - inside) % 2 == 0


def _neighbours(values: Sequence[Excerpt], last: int) -> tuple[Excerpt, ...]:
    """Return the value right before it, if nothing tells which of the two is meant."""
    return (values[last - 1],) if values[last].adjacent else ()


def _is_trivial(value: Excerpt) -> bool:
    """Return True for what prose has, too: a footnote, a list of numbers, empty brackets."""
    return bool(_EMPTY_OR_NOTE.fullmatch(value.text)) or (
        not value.alone and bool(_NUMBERS.fullmatch(value.text))
    )


_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_LAST_FENCE = re.compile(r"(?:```|~~~)(?P<language>\w*)\s*\Z")
_EMPTY_OR_NOTE = re.compile(r"\{\s*\}|\[\s*\d*\s*\]")
_NUMBERS = re.compile(r"\[[\d\s,.-]*\]")

# Nothing but bullets, marks of emphasis, a fence with its language, a tag or a label before it.
_BEGINS_LINE = re.compile(
    r"(?:\A|\n)[ \t>*_-]*(?:(?:```|~~~)\w*|<[^<>\n]{1,40}>)?[ \t`*_]*\Z|:[ \t`*_]*\Z"
)
_ENDS_LINE = re.compile(r"[ \t`*_.,;]*(?:(?:```|~~~|<[/|][^<>\n]{1,40}>)[ \t]*)*(?:\r?\n|\Z)")
_ENDS_SENTENCE = re.compile(r"[ \t`*_)\"'}\]]*(?:[.;!。]|\r?\n|<|\Z)")
