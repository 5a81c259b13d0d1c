"""The JSON values in an answer that says more than that, and which one is the answer.

Linear in the length of the answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from batches.engine.spans import OPENING, span_at

MAX_SEARCHED_CHARS = 512 * 1024
# Each costs a look at all of the text before it, for a message that few people read.
MAX_BROKEN = 100
MAX_LABEL_CHARS = 200

_FENCE = "```"


class Label(IntEnum):
    """What the words before a value say of it."""

    NONE = 0
    # An example, a draft, the schema, an input.
    EXAMPLE = 1
    # A second thought about what stands before.
    REVISION = 2
    FINAL = 3


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
        return self.label is Label.FINAL or (self.alone and self.label is not Label.EXAMPLE)


@dataclass(frozen=True, slots=True)
class Excerpts:
    """All values of a text. `ends_inside`: the text ends before its last value does; `unsure`:
    the last value is so broken that this cannot be told."""

    values: tuple[Excerpt, ...]
    ends_inside: bool = False
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The value that is taken for the answer, and those that it must not contradict."""

    chosen: Excerpt
    rivals: tuple[Excerpt, ...]


def excerpts_in(text: str) -> Excerpts:
    """Return the objects and arrays in a text; what a fence encloses, and nothing else, may be any
    JSON."""
    if len(text) > MAX_SEARCHED_CHARS:
        return Excerpts(())
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
    label = _label(before)
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


def choice_among(values: Sequence[Excerpt]) -> Choice | None:
    """Return the value that is the answer, by where it stands and what the words before it say.

    It is the last one that stands alone or is called final; what comes after it may contradict it,
    unless it is called an example. Where none stands alone, all of them may contradict each other.
    The schema has no say in it, so that no example can stand in for a wrong answer.
    """
    values = [value for value in values if not _is_trivial(value)] or values
    final = [number for number, value in enumerate(values) if value.is_final]
    if final:
        last = final[-1]
        later = [v for v in values[last + 1 :] if v.alone or v.label is not Label.EXAMPLE]
        return Choice(values[last], (*_neighbours(values, last), *later))
    return Choice(values[-1], tuple(values[:-1])) if values else None


def _neighbours(values: Sequence[Excerpt], last: int) -> tuple[Excerpt, ...]:
    """Return the value right before it, if nothing tells which of the two is meant."""
    return (values[last - 1],) if values[last].adjacent else ()


def _is_trivial(value: Excerpt) -> bool:
    """Return True for what prose has, too: a footnote, a list of numbers, empty brackets."""
    return bool(_EMPTY_OR_NOTE.fullmatch(value.text)) or (
        not value.alone and bool(_NUMBERS.fullmatch(value.text))
    )


_EMPTY_OR_NOTE = re.compile(r"\{\s*\}|\[\s*\d*\s*\]")
_NUMBERS = re.compile(r"\[[\d\s,.-]*\]")

# Nothing but bullets, marks of emphasis, a fence with its language, a tag or a label before it.
_BEGINS_LINE = re.compile(
    r"(?:\A|\n)[ \t>*_-]*(?:(?:```|~~~)\w*|<[^<>\n]{1,40}>)?[ \t`*_]*\Z|:[ \t`*_]*\Z"
)
_ENDS_LINE = re.compile(r"[ \t`*_.,;]*(?:(?:```|~~~|<[/|][^<>\n]{1,40}>)[ \t]*)*(?:\r?\n|\Z)")
_ENDS_SENTENCE = re.compile(r"[ \t`*_)\"'}\]]*(?:[.;!。]|\r?\n|<|\Z)")

_EXAMPLE_WORDS = (
    r"\b(?:examples?|e\.g|such as|for instance|say,|looks? like|sample|template|format|schema"
    r"|structure|placeholder|drafts?|attempts?|first try|wrong|incorrect|invalid|mistake|not|never"
    r"|don't|instead of|unlike|rather than|would be|could be|note that|note:|remark:?|considered"
    r"|beispiel\w*|exemple|ejemplo|esempio|entwurf)(?!\w)|例如|比如|示例|草稿"
)
_REVISION_WORDS = (
    r"\b(?:actually|rather|instead|wait|sorry|oops|hmm|should|better|correct|fix(?:ed)?|change[ds]?"
    r"|update[ds]?|must|no,|but|however|mean|vielmehr|besser|plutôt)(?!\w)|应该|更正"
)
_FINAL_WORDS = (
    r"\b(?:final(?:ly)?|answers?|results?|output|response|solution|corrected|revised|conclusion"
    r"|therefore|thus|boxed|endgültig\w*|antwort|ergebnis|réponse|résultat|respuesta|resultado"
    r"|risposta|resposta)(?!\w)"
    r"|<\|?\w{0,20}(?:final|answer|response|output|result|solution|json)\w{0,20}\|?>|最终|答案|结果|回答|輸出|输出"
)
_WORDS = re.compile(
    f"(?P<example>{_EXAMPLE_WORDS})|(?P<revision>{_REVISION_WORDS})|(?P<final>{_FINAL_WORDS})",
    re.IGNORECASE,
)
_LABELS = {"example": Label.EXAMPLE, "revision": Label.REVISION, "final": Label.FINAL}
_FENCE_BEFORE = re.compile(r"(?:```|~~~)\w*\s*\Z")


def _label(before: str) -> Label:
    """Return what the line before a value calls it; of several words the last one decides."""
    line = _FENCE_BEFORE.sub("", before).strip().rpartition("\n")[2]
    said = [word.lastgroup for word in _WORDS.finditer(line)]
    return _LABELS[said[-1] or ""] if said else Label.NONE
