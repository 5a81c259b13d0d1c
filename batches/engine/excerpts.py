"""Where the JSON is in an answer that says more than that. Linear in the length of the answer."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_SEARCHED_CHARS = 512 * 1024
# Each costs a look at all of the text before it, for a message that nobody reads.
MAX_BROKEN = 100

# A bracket that begins JSON, or nearly, unlike one in a sentence.
_OPENING = re.compile(
    r"""\{\s*(?:["'}]|[A-Za-z_$][\w$-]*\s*:)|\[\s*(?:["'{\[\]\d-]|true\b|false\b|null\b)"""
)
# A string, a string without end, or a bracket.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_FENCE = "```"


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of an answer; `sound` says that it is JSON as it stands."""

    text: str
    sound: bool


def json_within(answer: str) -> Excerpt | None:
    """The object or array in an answer, which may be broken; the longest, the last of equals.

    Which one it is does not depend on what is asked for, so that no example in the prose can stand
    in for an answer that is wrong. What a fence encloses, and nothing else, need be no object.
    """
    if len(answer) > MAX_SEARCHED_CHARS:
        return None
    longest: Excerpt | None = None
    for excerpt in _excerpts(answer):
        if longest is None or len(excerpt.text) >= len(longest.text):
            longest = excerpt
    return longest or _fenced(answer)


def _excerpts(answer: str) -> Iterator[Excerpt]:
    decoder = json.JSONDecoder(parse_constant=_refuse)
    start = broken = 0
    while broken < MAX_BROKEN and (opening := _OPENING.search(answer, start)):
        start = opening.start()
        try:
            _, end = decoder.raw_decode(answer, start)
            sound = True
        except (ValueError, RecursionError):
            end = _end_of_region(answer, start)
            sound = False
            broken += 1
        yield Excerpt(answer[start:end], sound)
        start = end


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _end_of_region(answer: str, start: int) -> int:
    """Behind the bracket that closes the one at `start`; the end, if none does."""
    depth = 0
    for token in _TOKEN.finditer(answer, start):
        if token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
            if not depth:
                return token.end()
    return len(answer)


def _fenced(answer: str) -> Excerpt | None:
    """What is between two fences that enclose the whole answer."""
    text = answer.strip()
    if len(text) < 2 * len(_FENCE) or not (text.startswith(_FENCE) and text.endswith(_FENCE)):
        return None
    _language, newline, rest = text[: -len(_FENCE)].partition("\n")
    return Excerpt(rest.strip(), sound=True) if newline and _FENCE not in rest else None
