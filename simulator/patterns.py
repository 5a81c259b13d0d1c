"""Make a text that matches a regular expression, from the standard library's parse of it.

What Python does not read, back-references and texts without a bound are refused. Look-around and
flags are ignored, so that callers must check the text.
"""

import re
import re._parser as regex_parser  # type: ignore[import-not-found]  # typeshed leaves it out
import string
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any

LONGEST_TEXT = 10_000

Parsed = Sequence[tuple[Any, Any]]  # opcodes with their arguments

_WORD = string.ascii_letters + string.digits + "_"
_VISIBLE = _WORD + string.punctuation + " "
_IGNORED = {"AT", "ASSERT", "ASSERT_NOT"}
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "CATEGORY_DIGIT": str.isdecimal,
    "CATEGORY_SPACE": str.isspace,
    "CATEGORY_WORD": lambda char: char.isalnum() or char == "_",
}


class UnsupportedPattern(ValueError):
    """The expression uses an unsupported feature."""


def text_matching(pattern: str, random: Random, *, extra: int = 3) -> str:
    """Return a text that matches the pattern. Raise UnsupportedPattern.

    An open repetition repeats up to `extra` times above its minimum.
    """
    writer = _Writer(random, extra)
    writer.write(_parsed(pattern))
    return "".join(writer.pieces)


@lru_cache(maxsize=1024)
def _parsed(pattern: str) -> Parsed:
    try:
        parsed: Parsed = regex_parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedPattern(str(error)) from error
    return parsed


class _Writer:
    def __init__(self, random: Random, extra: int) -> None:
        self.pieces: list[str] = []
        self._random = random
        self._extra = extra
        self._steps = 0

    def write(self, parsed: Parsed) -> None:
        self._steps += 1 + len(parsed)
        if self._steps > LONGEST_TEXT:
            raise UnsupportedPattern("its texts are too long")
        for code, argument in parsed:
            self._write_one(str(code), argument)

    def _write_one(self, code: str, argument: Any) -> None:
        if code == "LITERAL":
            self.pieces.append(chr(argument))
        elif code == "ANY":
            self.pieces.append(self._random.choice(_WORD))
        elif code == "IN":
            self.pieces.append(self._random.choice(_chars_of(tuple(argument))))
        elif code == "NOT_LITERAL":
            chars = _chars_of((("NEGATE", None), ("LITERAL", argument)))
            self.pieces.append(self._random.choice(chars))
        elif code == "BRANCH":
            self.write(self._random.choice(argument[1]))
        elif code in {"SUBPATTERN", "ATOMIC_GROUP"}:
            self.write(argument[-1] if code == "SUBPATTERN" else argument)
        elif code.endswith("_REPEAT"):
            self._repeat(*argument)
        elif code not in _IGNORED:
            raise UnsupportedPattern(f"{code} is not supported")

    def _repeat(self, least: int, most: int, repeated: Parsed) -> None:
        for _ in range(self._random.randint(least, min(most, least + self._extra))):
            self.write(repeated)


@lru_cache(maxsize=1024)
def _chars_of(members: tuple[tuple[Any, Any], ...]) -> list[str]:
    """Return the visible ASCII characters of a class, and the others that it names."""
    negated = str(members[0][0]) == "NEGATE"
    tests = [_test_of(str(kind), argument) for kind, argument in members[negated:]]
    named = [code for kind, code in members if str(kind) == "LITERAL"]
    named += [code for kind, ends in members if str(kind) == "RANGE" for code in ends]
    chars = dict.fromkeys([*_VISIBLE, *(char for char in map(chr, named) if char.isprintable())])
    fitting = [char for char in chars if negated != any(test(char) for test in tests)]
    if not fitting:
        raise UnsupportedPattern("a class has no visible character")
    return fitting


def _test_of(kind: str, argument: Any) -> Callable[[str], bool]:
    if kind == "CATEGORY":
        name = str(argument)
        test = _CATEGORIES[name.replace("_NOT_", "_")]
        return lambda char: test(char) != ("_NOT_" in name)
    first, last = (argument, argument) if kind == "LITERAL" else argument
    return lambda char: bool(first <= ord(char) <= last)
