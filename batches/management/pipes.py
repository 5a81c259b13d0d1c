"""Standard output as a pipe, whose reader may close it at any time."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STANDARD_OUTPUT = "-"
EXIT_NO_READER = 128 + signal.SIGPIPE


@contextmanager
def ended_by_reader() -> Iterator[None]:
    """Exit quietly on a broken pipe in the block (for example `… | head`)."""
    try:
        yield
    except BrokenPipeError:
        discard_standard_output()
        sys.exit(EXIT_NO_READER)


def discard_standard_output() -> None:
    """Discard buffered output, since writing it at exit would fail again."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
