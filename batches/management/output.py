"""Output files that appear whole or not at all."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from batches.export import write_results
from batches.models import Batch

STANDARD_OUTPUT = "-"


def write_outputs(batch: Batch, output: str, errors: str | None) -> None:
    """Write the results of a batch, the failed ones to `errors` if it is given. Raises OSError."""
    with ExitStack() as stack:
        good = stack.enter_context(whole_file(output))
        bad = stack.enter_context(whole_file(errors)) if errors else None
        write_results(batch, good, bad)


def check_writable(name: str) -> None:
    """Raise OSError with a reason if no file of this name can be written."""
    if name == STANDARD_OUTPUT:
        return
    path = Path(name)
    if path.is_dir():
        raise IsADirectoryError(f"{name} is a directory; name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{name}: the folder {path.parent} cannot be written to")


@contextmanager
def whole_file(name: str) -> Iterator[TextIO]:
    """A file that takes its name when the block ends without an error; `-` is standard output."""
    if name == STANDARD_OUTPUT:
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(name)
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
