"""Lines on standard error, and untrusted text on a terminal."""

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

SHOWN_MESSAGE_CHARS = 200


class Terminal(Console):
    """Standard error. A broken pipe silences it; the batch continues to run."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stderr.fileno())


def print_line(console: Console, message: str, *, style: str = "") -> None:
    """Print a line without wrapping it: a wrapped line cannot be copied or searched."""
    console.print(Text(message, style=style), soft_wrap=True)


def excerpt(text: str) -> str:
    """Return the beginning of an untrusted text in one line, without terminal control codes."""
    line = " ".join(text.split())
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    over = len(plain) > SHOWN_MESSAGE_CHARS
    return plain[: SHOWN_MESSAGE_CHARS - 1] + "…" if over else plain
