"""Lines on standard error, and untrusted text on a terminal."""

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

SHOWN_MESSAGE_CHARS = 200
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Terminal(Console):
    """Standard error. A broken pipe silences it; the batch continues to run."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stderr.fileno())


def print_line(console: Console, message: str, *, style: str = "") -> None:
    """Print lines without wrapping them: a wrapped line cannot be copied or searched."""
    console.print(Text(printable(message), style=style), soft_wrap=True)


def printable(text: str) -> str:
    """Return an untrusted text without terminal control codes; line feeds stay."""
    marked = (char if char.isprintable() or char == "\n" else REPLACEMENT for char in text)
    return "".join(marked)


def excerpt(text: str, *, most: int = SHOWN_MESSAGE_CHARS) -> str:
    """Return the beginning of an untrusted text in one line, without terminal control codes."""
    plain = printable(" ".join(text.split()))
    return plain[: most - 1] + "…" if len(plain) > most else plain
