"""The difference of two texts, word by word, in bounded time. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain
from typing import Literal

# Of longer texts the beginning is compared: the time grows faster than the words.
MOST_WORDS = 150
MOST_TEXT_CHARS = 2000
# Words, each with the space behind it.
_WORD = re.compile(r"\s+|\S+\s?")

Mark = Literal["same", "added", "removed"]


@dataclass(frozen=True, slots=True)
class DiffPiece:
    """A piece of a text: in both texts, or only in the second (added) or the first (removed)."""

    mark: Mark
    text: str


def word_diff(first: str, second: str) -> list[DiffPiece]:
    """Return the pieces of two texts, cut to their beginnings."""
    return list(_joined(_pieces(_words(first), _words(second)))) + _ends(first, second)


def plain(text: str) -> list[DiffPiece]:
    """Return a text, cut as in a difference, as one piece."""
    words = "".join(_words(text))
    return [DiffPiece("same", words + ("…" if _is_cut(text) else ""))]


def _ends(first: str, second: str) -> list[DiffPiece]:
    return [DiffPiece("same", "…")] if _is_cut(first) or _is_cut(second) else []


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:MOST_TEXT_CHARS])[:MOST_WORDS]


def _is_cut(text: str) -> bool:
    return len("".join(_words(text))) < len(text)


def _pieces(first: Sequence[str], second: Sequence[str]) -> Iterator[DiffPiece]:
    matcher = SequenceMatcher(a=first, b=second, autojunk=False)
    for tag, a_from, a_to, b_from, b_to in matcher.get_opcodes():
        if tag == "equal":
            yield from (DiffPiece("same", word) for word in first[a_from:a_to])
            continue
        yield from (DiffPiece("removed", word) for word in first[a_from:a_to])
        yield from (DiffPiece("added", word) for word in second[b_from:b_to])


def _joined(pieces: Iterator[DiffPiece]) -> Iterator[DiffPiece]:
    """Yield pieces of one mark as one piece."""
    last: DiffPiece | None = None
    for piece in chain(pieces):
        if last is not None and last.mark == piece.mark:
            last = DiffPiece(last.mark, last.text + piece.text)
            continue
        if last is not None:
            yield last
        last = piece
    if last is not None:
        yield last
