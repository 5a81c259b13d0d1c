"""Texts differ word by word; the time for it is bounded."""

import pytest

from batches.comparison.word_diff import MOST_TEXT_CHARS, DiffPiece, plain, word_diff


def marked(first: str, second: str) -> str:
    signs = {"same": "", "added": "+", "removed": "-"}
    return "".join(f"[{signs[one.mark]}{one.text}]" for one in word_diff(first, second))


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("a b c", "a b c", "[a b c]"),
        ("a b c", "a x c", "[a ][-b ][+x ][c]"),
        ("", "a", "[+a]"),
        ("a", "", "[-a]"),
        ("", "", ""),
        ("good", "bad", "[-good][+bad]"),
    ],
)
def test_words_differ(first: str, second: str, shown: str) -> None:
    assert marked(first, second) == shown


def test_long_texts_are_cut_and_say_so() -> None:
    for long in ("word " * 1000, "x" * (MOST_TEXT_CHARS + 1)):
        assert word_diff(long, long)[-1] == DiffPiece("same", "…")
        assert len(plain(long)[0].text) <= MOST_TEXT_CHARS + 1
    assert plain("a b") == [DiffPiece("same", "a b")]


def test_both_texts_can_be_read_from_the_pieces() -> None:
    first, second = "the cat  sat\n on it", "a cat sat on\n\nit all"
    pieces = word_diff(first, second)
    assert "".join(one.text for one in pieces if one.mark != "added") == first
    assert "".join(one.text for one in pieces if one.mark != "removed") == second
