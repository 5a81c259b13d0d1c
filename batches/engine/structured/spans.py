"""Find the start and the end of a JSON value in a text, valid or broken, in linear time."""

import json
import re
from dataclasses import dataclass

# A bracket that begins JSON, or nearly JSON, unlike one in a sentence. At the end of a text, it
# may be an incomplete beginning.
OPENING = re.compile(
    r"""\{\s*(?:["'“`}]|[A-Za-z_$][\w$-]*\s*(?::|\Z)|/[/*]|\Z)"""
    r"""|\[\s*(?:["'“`{\[\]\d-]|/[/*]|(?:[Tt]rue|[Ff]alse|null|None|NaN|Infinity)\b"""
    r"""|\w{0,8}\Z)"""
)

# What may follow the closing quote of a string; any other quote is an unescaped part of it.
_FOLLOW = r"""(?=\s*(?:[,:=}\]]|\Z|//|/\*|\#)|\s+["'“`])"""
_COMMENT = r"/\*.*?(?:\*/|\Z)|(?<!:)//[^\n]*+|\#[^\n]*+"
_DOUBLE = rf"""(?P<double>"(?:[^"\\]|\\.|"(?!{_FOLLOW}))*+(?P<ended>"|\\?\Z))"""
# Other quotes begin a string only where a key or value begins: elsewhere they are apostrophes.
_OTHER = (
    rf"""(?P<lead>[\[{{,:])\s*+(?:'(?:[^'\\]|\\.|'(?!{_FOLLOW}))*+(?:'|\\?\Z)"""
    rf"""|`(?:[^`\\]|\\.|`(?!{_FOLLOW}))*+(?:`|\\?\Z)"""
    rf"""|“(?:[^”"\\]|\\.|[”"](?!{_FOLLOW}))*+(?:[”"]|\\?\Z))"""
)
_BRACKET = r"(?P<bracket>[\[\]{}])"
_TOKEN = re.compile("|".join((_COMMENT, _OTHER, _DOUBLE, _BRACKET)), re.DOTALL)
# The same for strings in valid JSON: a place that _TOKEN treats as the inside of a string may be
# the end of the value.
_PLAIN_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|(?P<lead>(?!))|(?P<bracket>[\[\]{}])', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Span:
    """A JSON value in a text. `sound`: it is valid JSON. `closed`: its end is in the text; None if
    that is unclear."""

    start: int
    end: int
    sound: bool
    closed: bool | None


def span_at(text: str, start: int) -> Span:
    """Return the span of the value whose bracket is at `start`."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return _broken_span(text, start)
    return Span(start, end, sound=True, closed=True)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _broken_span(text: str, start: int) -> Span:
    end = _end_of_brackets(_TOKEN, text, start)
    if end is not None:
        return Span(start, end, sound=False, closed=True)
    unsure = _end_of_brackets(_PLAIN_TOKEN, text, start) is not None
    return Span(start, len(text), sound=False, closed=None if unsure else False)


class _Brackets:
    """The open brackets. A bracket that closes an outer one closes the inner ones too."""

    _PAIRS = {"}": "{", "]": "["}  # noqa: RUF012 - a constant

    def __init__(self) -> None:
        self._open: list[str] = []
        self._counts = {"{": 0, "[": 0}

    def take(self, bracket: str) -> bool:
        """Add a bracket; return True if all brackets are closed now."""
        if bracket in self._counts:
            self._open.append(bracket)
            self._counts[bracket] += 1
        elif self._counts[self._PAIRS[bracket]]:
            while (inner := self._open.pop()) != self._PAIRS[bracket]:
                self._counts[inner] -= 1
            self._counts[inner] -= 1
        return not self._open


def _end_of_brackets(token: re.Pattern[str], text: str, start: int) -> int | None:
    """Return the index after the bracket that closes the one at `start`; None without it."""
    brackets = _Brackets()
    for match in token.finditer(text, start):
        bracket = match["bracket"] or (match["lead"] if match["lead"] in {"[", "{"} else None)
        if bracket and brackets.take(bracket):
            return match.end()
    return None


def first_outside_strings(text: str, span: Span, wanted: re.Pattern[str]) -> int | None:
    """Return the first match of `wanted` in a broken span, outside of its strings."""
    position = span.start
    while (match := wanted.search(text, position, span.end)) is not None:
        string_end = _end_of_string_around(text, span, match.start(), position)
        if string_end is None:
            return match.start()
        position = string_end
    return None


def _end_of_string_around(text: str, span: Span, place: int, since: int) -> int | None:
    """Return the end of the string that contains a place; None if no string does.

    In a value without an end, a string that continues over a line break is treated as prose.
    """
    for match in _TOKEN.finditer(text, since, span.end):
        if match.start() > place:
            return None
        if match.end() > place:
            is_string = match["double"] is not None or match["lead"] is not None
            runs_on = not span.closed and "\n" in match[0][: place - match.start()]
            return match.end() if is_string and not runs_on else None
    return None
