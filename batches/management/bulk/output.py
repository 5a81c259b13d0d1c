"""Where results are written: files that appear whole or not at all, pipes, devices."""

import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from batches.models import Batch
from batches.output.jsonl import write_results

STANDARD_OUTPUT = "-"
EXIT_NO_READER = 128 + signal.SIGPIPE


def write_outputs(batch: Batch, output: str, errors: str | None) -> None:
    """Write the results of a batch, the failed ones to `errors` if it is given. Raises OSError."""
    with ExitStack() as stack:
        good = stack.enter_context(opened_output(output))
        bad = stack.enter_context(opened_output(errors)) if errors else None
        write_results(batch, good, bad)


def check_writable(name: str) -> None:
    """Raise OSError with a reason if no file of this name can be written."""
    if name == STANDARD_OUTPUT or is_special(name):
        return
    path = Path(name).resolve()
    if path.is_dir():
        raise IsADirectoryError(f"{name} is a directory; name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{name}: the folder {path.parent} cannot be written to")


def name_of(output: str) -> str:
    """What an output is called where a person reads it."""
    return "standard output" if output == STANDARD_OUTPUT else output


@contextmanager
def ended_by_reader() -> Iterator[None]:
    """End this process without a word when nobody reads on what the block writes, as `head`."""
    try:
        yield
    except BrokenPipeError:
        discard_standard_output()
        sys.exit(EXIT_NO_READER)


def discard_standard_output() -> None:
    """Have what is still to be written go nowhere, where it would fail again at the end."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def is_special(name: str) -> bool:
    """Whether it is there and neither a file nor a folder: a pipe, a device. Raises OSError."""
    try:
        mode = Path(name).stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def opened_output(name: str) -> Iterator[TextIO]:
    """Where the output of this name goes: a whole file, or straight into what is none."""
    if name == STANDARD_OUTPUT:
        yield sys.stdout
        sys.stdout.flush()
    elif is_special(name):
        with Path(name).open("w", encoding="utf-8", newline="\n") as file:
            yield file
    else:
        # Behind a link, so that the link stays.
        with whole_file(Path(name).resolve()) as file:
            yield file


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A file that takes its name when the block ends without an error."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; an output has the permissions of any other new file.
        umask = os.umask(0)
        os.umask(umask)
        Path(draft).chmod(0o666 & ~umask)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
