"""Make a text that matches a regular expression, for the simple expressions in schemas.

Back-references, flags and word boundaries are not supported. Look-around is parsed but ignored, so
callers must check the text.
"""

import string
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

LONGEST_TEXT = 10_000
LARGEST_CLASS = 512

_DIGITS = string.digits
_LETTERS = string.ascii_letters
_WORD = _LETTERS + _DIGITS + "_"
_PRINTABLE = _WORD + " !#$%&'()*+,-./:;<=>?@[]^{|}~"
_CLASSES = {"d": _DIGITS, "D": _LETTERS, "w": _WORD, "W": " -.,", "s": " ", "S": _LETTERS + _DIGITS}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_CATEGORIES = {"L": _LETTERS, "Lu": string.ascii_uppercase, "Ll": string.ascii_lowercase}
_CATEGORIES |= {"N": _DIGITS, "Nd": _DIGITS, "P": "-.,!", "Letter": _LETTERS}


class UnsupportedPattern(ValueError):
    """The expression uses an unsupported feature."""


@dataclass(slots=True)
class _Writing:
    """A text being written; an open repetition repeats up to `extra` times above its minimum."""

    random: Random
    extra: int
    pieces: list[str] = field(default_factory=list)

    def add(self, piece: str) -> None:
        if len(self.pieces) >= LONGEST_TEXT:
            raise UnsupportedPattern("its texts are too long")
        self.pieces.append(piece)


_Node = Callable[[_Writing], None]


def text_matching(pattern: str, random: Random, *, extra: int = 3) -> str:
    """Return a text that matches the pattern. Raise UnsupportedPattern."""
    reader = _Reader(pattern)
    node = reader.choice()
    if not reader.ended():
        raise UnsupportedPattern("unbalanced )")
    writing = _Writing(random, extra)
    node(writing)
    return "".join(writing.pieces)


def _chars(chars: str) -> _Node:
    return lambda writing: writing.add(writing.random.choice(chars))


def _nothing(_: _Writing) -> None:
    pass


def _in_a_row(nodes: list[_Node]) -> _Node:
    def write(writing: _Writing) -> None:
        for node in nodes:
            node(writing)

    return write


def _one_of(nodes: list[_Node]) -> _Node:
    return lambda writing: writing.random.choice(nodes)(writing)


def _repeated(node: _Node, least: int, most: int | None) -> _Node:
    def write(writing: _Writing) -> None:
        limit = least + writing.extra
        for _ in range(writing.random.randint(least, limit if most is None else min(most, limit))):
            node(writing)

    return write


class _Reader:
    """Parses an expression from left to right into functions that write matching texts."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def ended(self) -> bool:
        return self.at >= len(self.pattern)

    def choice(self) -> _Node:
        branches = [self._row()]
        while self._takes("|"):
            branches.append(self._row())
        return branches[0] if len(branches) == 1 else _one_of(branches)

    def _takes(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _next(self) -> str:
        if self.ended():
            raise UnsupportedPattern("it ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def _until(self, end: str) -> str:
        found, separator, _ = self.pattern[self.at :].partition(end)
        if not separator:
            raise UnsupportedPattern(f"it has no closing {end}")
        self.at += len(found) + 1
        return found

    def _row(self) -> _Node:
        nodes: list[_Node] = []
        while not self.ended() and self.pattern[self.at] not in "|)":
            nodes.append(self._quantified(self._atom()))
        return _in_a_row(nodes)

    def _atom(self) -> _Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return _chars(self._class())
        if char == "\\":
            return _chars(self._escape())
        if char == ".":
            return _chars(_WORD)
        return _nothing if char in "^$" else _chars(char)

    def _group(self) -> _Node:
        looks_around = self._takes("?") and self._group_opening()
        node = self.choice()
        if not self._takes(")"):
            raise UnsupportedPattern("unbalanced (")
        return _nothing if looks_around else node

    def _group_opening(self) -> bool:
        """Read the text after "(?"; return True for look-around, which adds nothing to the text."""
        if self._takes(":"):
            return False
        if any(self._takes(mark) for mark in ("=", "!", "<=", "<!")):
            return True
        if not (self._takes("P<") or self._takes("<")):
            raise UnsupportedPattern("flags are not supported")
        self._until(">")
        return False

    def _escape(self) -> str:
        char = self._next()
        if char in _CLASSES:
            return _CLASSES[char]
        if char in "pP":
            return self._category(negated=char == "P")
        if char in "xu":
            return self._code_point(2 if char == "x" else 4)
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise UnsupportedPattern(f"\\{char} is not supported")
        return char

    def _category(self, *, negated: bool) -> str:
        name = self._until("}").removeprefix("{")
        if name not in _CATEGORIES:
            raise UnsupportedPattern(f"\\p{{{name}}} is not supported")
        chars = _CATEGORIES[name]
        return _without(chars) if negated else chars

    def _code_point(self, digits: int) -> str:
        if self._takes("{"):
            return _char(self._until("}"))
        self.at += digits
        return _char(self.pattern[self.at - digits : self.at])

    def _class(self) -> str:
        negated = self._takes("^")
        found: list[str] = []
        while not self._takes("]"):
            found.append(self._class_range())
        chars = "".join(found)
        if negated:
            chars = _without(chars)
        if not chars:
            raise UnsupportedPattern("a class is empty")
        return chars

    def _class_range(self) -> str:
        first = self._class_char()
        if len(first) > 1 or not self.pattern.startswith("-", self.at):
            return first
        if self.pattern.startswith("-]", self.at):
            return first
        self.at += 1
        return _between(first, self._class_char())

    def _class_char(self) -> str:
        char = self._next()
        if char != "\\":
            return char
        return "\b" if self._takes("b") else self._escape()

    def _quantified(self, node: _Node) -> _Node:
        bounds = self._quantifier()
        if bounds is None:
            return node
        if not self._takes("?"):
            self._takes("+")
        least, most = bounds
        if least > LONGEST_TEXT:
            raise UnsupportedPattern("its texts are too long")
        return _repeated(node, least, most)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._takes(sign):
                return bounds
        if not self.pattern.startswith("{", self.at):
            return None
        inner = self.pattern[self.at + 1 :].partition("}")[0]
        least, comma, most = inner.partition(",")
        if not least.isdecimal() or not (most.isdecimal() or not most):
            return None
        self.at += len(inner) + 2
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None


def _char(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except (ValueError, OverflowError):
        raise UnsupportedPattern(f"{digits!r} is not a code point") from None


def _between(first: str, last: str) -> str:
    if len(last) != 1 or last < first:
        raise UnsupportedPattern(f"{first}-{last} is not a range")
    codes = range(ord(first), min(ord(last), ord(first) + LARGEST_CLASS) + 1)
    chars = [chr(code) for code in codes if not 0xD800 <= code <= 0xDFFF]
    return "".join([char for char in chars if char.isprintable()] or chars)


def _without(chars: str) -> str:
    return "".join(char for char in _PRINTABLE if char not in chars)
