"""Where a JSON value begins and ends in a text, sound or broken. Linear in the length."""

import json
import re
from dataclasses import dataclass

# A bracket that begins JSON, or nearly, unlike one in a sentence. At the end of a text, the
# beginning of such a beginning.
OPENING = re.compile(
    r"""\{\s*(?:["'“`}]|[A-Za-z_$][\w$-]*\s*(?::|\Z)|/[/*]|\Z)"""
    r"""|\[\s*(?:["'“`{\[\]\d-]|/[/*]|(?:[Tt]rue|[Ff]alse|null|None|NaN|Infinity)\b"""
    r"""|\w{0,8}\Z)"""
)

# What may follow the quote that closes a string; any other quote stands unescaped inside it.
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
# The same with strings as JSON has them: what the other takes for the inside of a string may be
# the end of the value.
_PLAIN_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|(?P<lead>(?!))|(?P<bracket>[\[\]{}])', re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Span:
    """A JSON value in a text. `sound`: it is JSON as it stands. `closed`: its end is there;
    None if that cannot be told."""

    start: int
    end: int
    sound: bool
    closed: bool | None


def span_at(text: str, start: int) -> Span:
    """Return the extent of the value whose bracket is at `start`."""
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
    """The brackets that are open. One that closes an outer bracket closes the inner ones too."""

    _PAIRS = {"}": "{", "]": "["}  # noqa: RUF012 - a constant

    def __init__(self) -> None:
        self._open: list[str] = []
        self._counts = {"{": 0, "[": 0}

    def take(self, bracket: str) -> bool:
        """Take a bracket; return True if none is open any more."""
        if bracket in self._counts:
            self._open.append(bracket)
            self._counts[bracket] += 1
        elif self._counts[self._PAIRS[bracket]]:
            while (inner := self._open.pop()) != self._PAIRS[bracket]:
                self._counts[inner] -= 1
            self._counts[inner] -= 1
        return not self._open


def _end_of_brackets(token: re.Pattern[str], text: str, start: int) -> int | None:
    """Return the index behind the bracket that closes the one at `start`, None without one."""
    brackets = _Brackets()
    for match in token.finditer(text, start):
        bracket = match["bracket"] or (match["lead"] if match["lead"] in {"[", "{"} else None)
        if bracket and brackets.take(bracket):
            return match.end()
    return None


def first_outside_strings(text: str, span: Span, wanted: re.Pattern[str]) -> int | None:
    """Return where `wanted` first matches in a broken span, other than in its strings."""
    position = span.start
    while (match := wanted.search(text, position, span.end)) is not None:
        string_end = _end_of_string_around(text, span, match.start(), position)
        if string_end is None:
            return match.start()
        position = string_end
    return None


def _end_of_string_around(text: str, span: Span, place: int, since: int) -> int | None:
    """Return the end of the string that holds a place, None if none does.

    In a value that does not end, a string that runs over a line break is taken for prose.
    """
    for match in _TOKEN.finditer(text, since, span.end):
        if match.start() > place:
            return None
        if match.end() > place:
            is_string = match["double"] is not None or match["lead"] is not None
            runs_on = not span.closed and "\n" in match[0][: place - match.start()]
            return match.end() if is_string and not runs_on else None
    return None
