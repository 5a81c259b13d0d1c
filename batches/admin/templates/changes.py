"""The changes between two versions of a template, line by line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

# Comparing more lines could take seconds.
MOST_LINES = 1000
CONTEXT_LINES = 3

Message = Mapping[str, str]
Mark = Literal["same", "added", "removed", "left out"]


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line of either version; the text of lines that are left out is empty."""

    mark: Mark
    text: str = ""

    @property
    def sign(self) -> str:
        return {"added": "+", "removed": "-"}.get(self.mark, "")


def changed_lines(before: Sequence[Message], after: Sequence[Message]) -> list[ChangedLine] | None:
    """Return the lines that differ with some around them; None if the versions are too long."""
    old, new = _lines_of(before), _lines_of(after)
    if max(len(old), len(new)) > MOST_LINES:
        return None
    return list(_changed(old, new))


def _lines_of(messages: Sequence[Message]) -> list[str]:
    """Return the lines of a template file with these messages."""
    lines: list[str] = []
    for message in messages:
        lines += [f"{{# {message['role']} #}}", *message["content"].splitlines()]
    return lines


def _changed(old: list[str], new: list[str]) -> Iterator[ChangedLine]:
    groups = SequenceMatcher(a=old, b=new).get_grouped_opcodes(CONTEXT_LINES)
    for number, group in enumerate(groups):
        if number:
            yield ChangedLine("left out")
        for tag, a_from, a_to, b_from, b_to in group:
            if tag == "equal":
                yield from (ChangedLine("same", line) for line in old[a_from:a_to])
                continue
            yield from (ChangedLine("removed", line) for line in old[a_from:a_to])
            yield from (ChangedLine("added", line) for line in new[b_from:b_to])
