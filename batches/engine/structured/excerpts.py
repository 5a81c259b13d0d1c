"""Find the JSON values in an answer that has other text too, and choose the final one.

Linear in the length of the answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batches.engine.structured.labels import (
    Label,
    SpokenTurn,
    announces_more,
    is_taken_back,
    label_of,
    next_turn,
)
from batches.engine.structured.spans import OPENING, span_at

MAX_SEARCHED_CHARS = 512 * 1024
# Each broken value costs a search through all text before it, only to improve a message.
MAX_BROKEN = 100
MAX_LABEL_CHARS = 200

_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A value in an answer. `sound`: it is valid JSON; `alone`: it has its own lines.

    `adjacent`: only separators stand between this value and the one before it.
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
        """Return True if this may be the answer, and is not a remark or example."""
        return self.label is Label.FINAL or (self.alone and not self.label.is_aside)


@dataclass(frozen=True, slots=True)
class Excerpts:
    """All values of a text. `ends_inside`: the text ends inside its last value; `unsure`: the last
    value is too broken to decide that."""

    values: tuple[Excerpt, ...]
    ends_inside: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The value chosen as the answer, and the other values that must not contradict it.

    `doubt`: the objection in the text after it, if any.
    """

    chosen: Excerpt
    rivals: tuple[Excerpt, ...]
    doubt: str | None = None


def excerpts_in(text: str) -> Excerpts:
    """Return the objects and arrays in a text. If a fence encloses the whole text, the value may
    also be any other JSON."""
    if len(text) > MAX_SEARCHED_CHARS:
        return Excerpts(())
    strings = tuple(value for value in _fenced(text) if _STRING.fullmatch(value.text))
    if strings:
        # Brackets inside a string belong to its text.
        return Excerpts(strings)
    found: list[Excerpt] = []
    start = broken = behind = 0
    while broken < MAX_BROKEN and (opening := OPENING.search(text, start)):
        span = span_at(text, opening.start())
        if not span.closed:
            # The model continued after the value: a bracket is missing, the answer was not cut off.
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
    # A value that begins in the middle of a line follows other text.
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
    """Yield the text between two fences that enclose the whole answer."""
    text = answer.strip()
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return
    _language, newline, rest = text[: -len(_FENCE)].partition("\n")
    if newline and _FENCE not in rest:
        yield Excerpt(rest.strip(), sound=True, end=len(answer), alone=True)


def choice_in(text: str, values: Sequence[Excerpt]) -> Choice | None:
    """Return the choice of the value that is the answer; None if no value is.

    The value is chosen by its place and by the words around it. The schema is not used for the
    choice, so that an example cannot replace a wrong answer.
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
        # The text may be a dialogue from the start: it is unknown which turn is the answer.
        rivals = tuple(value for value in values if value is not choice.chosen)
    return Choice(choice.chosen, rivals, _doubt_behind(text, values, choice.chosen))


def _weighty(values: Sequence[Excerpt]) -> Sequence[Excerpt]:
    return [value for value in values if not _is_trivial(value)] or values


def _invented_turn(text: str, values: Sequence[Excerpt]) -> SpokenTurn | None:
    """Return the place after a value at which the model invents the user's next message."""
    ends = [*(value.start for value in values[1:]), len(text)]
    for value, end in zip(values, ends, strict=False):
        if (turn := next_turn(text, value.end, end)) is not None:
            return turn
    return None


def _choice_among(values: Sequence[Excerpt]) -> Choice | None:
    """Return the last value that has its own lines or is called final.

    Later values may contradict it, unless they are called examples. If no value has its own lines,
    all values may contradict each other. A text with only examples has no answer.
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
    """Return the objection to a value in the text after it; None if there is none."""
    later = [value for value in values if value.start >= chosen.end]
    starts = [chosen.end, *(value.end for value in later)]
    ends = [*(value.start for value in later), len(text)]
    gaps = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    if any(is_taken_back(gap) for gap in gaps):
        return "it revokes its JSON"
    last = later[-1] if later else chosen
    fenced = _LAST_FENCE.search(text[max(0, last.start - MAX_LABEL_CHARS) : last.start])
    if announces_more(gaps[-1]) or _opens_fence(gaps[-1], inside=fenced is not None):
        return "it announces JSON that does not follow"
    return None


def _opens_fence(behind: str, *, inside: bool) -> bool:
    """Return True if the text after a value ends with an opening fence.

    `inside`: the value itself is in a fence, which the first fence closes.
    """
    last = _LAST_FENCE.search(behind)
    if last is None:
        return False
    before = behind[: last.start()].strip("*_. \t\r\n")
    if not before or last["language"]:
        return bool(last["language"])
    return (before.count(_FENCE) - inside) % 2 == 0


def _neighbours(values: Sequence[Excerpt], last: int) -> tuple[Excerpt, ...]:
    """Return the value before the last one, if it is unclear which of the two is meant."""
    return (values[last - 1],) if values[last].adjacent else ()


def _is_trivial(value: Excerpt) -> bool:
    """Return True for a value that also occurs in prose: a footnote, numbers, empty brackets."""
    return bool(_EMPTY_OR_NOTE.fullmatch(value.text)) or (
        not value.alone and bool(_NUMBERS.fullmatch(value.text))
    )


_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+"')
_LAST_FENCE = re.compile(r"(?:```|~~~)(?P<language>\w*)\s*\Z")
_EMPTY_OR_NOTE = re.compile(r"\{\s*\}|\[\s*\d*\s*\]")
_NUMBERS = re.compile(r"\[[\d\s,.-]*\]")

# Before the value only bullets, emphasis, a fence with its language, a tag or a label.
_BEGINS_LINE = re.compile(
    r"(?:\A|\n)[ \t>*_-]*(?:(?:```|~~~)\w*|<[^<>\n]{1,40}>)?[ \t`*_]*\Z|:[ \t`*_]*\Z"
)
_ENDS_LINE = re.compile(r"[ \t`*_.,;]*(?:(?:```|~~~|<[/|][^<>\n]{1,40}>)[ \t]*)*(?:\r?\n|\Z)")
_ENDS_SENTENCE = re.compile(r"[ \t`*_)\"'}\]]*(?:[.;!。]|\r?\n|<|\Z)")
