"""Bounds on the work of a template for one row: its time, and the size of its texts."""

from collections.abc import Mapping
from typing import Any

# The work that each row may take, however short it is.
BASE_WORK = 100_000
# The work for each character of the row: how many times a character may be copied.
WORK_PER_CHAR = 16
# The most work, as a multiple of the longest text.
MOST_TIMES = 4
# The evaluation of one part of an expression takes about as long as copying this many characters.
STEP_WORK = 16
# Searching a text is much faster than copying it.
CHARS_SEARCHED_AT_ONCE = 8
# Larger numbers are of no use in a prompt, and multiplying them takes long.
MAX_NUMBER_BITS = 1024


class TemplateLimit(Exception):
    """A template does too much with a row; the message is a sentence."""


class WorkMeter:
    """Counts the work for one row, and raises TemplateLimit when it is too much."""

    def __init__(self, max_chars: int) -> None:
        self.max_chars = max_chars
        self._left = 0

    def begin(self, chars: int) -> None:
        """Begin a row with this many characters."""
        self._left = min(BASE_WORK + WORK_PER_CHAR * chars, MOST_TIMES * self.max_chars)

    def spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise TemplateLimit(
                "The template does too much for a row of this length: use fewer or shorter loops, "
                "and fewer filters on long texts."
            )

    def allow_text(self, chars: int) -> None:
        """Count a text before it is made."""
        if chars > self.max_chars:
            raise TemplateLimit(
                f"The template makes a text of more than {self.max_chars} characters "
                "(MAX_LINE_BYTES)."
            )
        self.spend(STEP_WORK + chars)

    def searched(self, value: Any) -> Any:
        """Return a value that is compared or searched, after counting its size."""
        is_text = isinstance(value, str)
        self.spend(len(value) // CHARS_SEARCHED_AT_ONCE if is_text else self.size_of(value))
        return value

    def built(self, value: Any) -> Any:
        """Return a list or mapping of the template, after counting it with all that it holds.

        Lists may be shared, so that few of them have many items: `[a, a]` of `[b, b]` and so on.
        """
        self.spend(self.size_of(value))
        return value

    def repeated(self, items: list[Any], weight: int) -> list[Any]:
        """Return the items of a loop, after counting its body of this weight for each."""
        self.spend(STEP_WORK * (1 + weight * len(items)))
        return items

    def size_of(self, value: Any) -> int:
        """Return the work of walking over a value; stop once it is too much."""
        size, level = 0, [value]
        while level and size <= self._left:
            item = level.pop()
            size += STEP_WORK
            if isinstance(item, str):
                size += len(item)
            elif isinstance(item, Mapping):
                level += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                level += item
        return size
