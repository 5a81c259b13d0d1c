"""Read an input into a new batch. The reading process holds a file lock while it lives.

A reader that is killed leaves a batch that can never run. The next reader finds its lock free and
removes the batch immediately. A lease would not work: standard input may be silent for hours.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from batches.actions import batches as batch_actions


@contextmanager
def reading(public_id: str) -> Iterator[None]:
    """Lock the batch that the block creates; remove it if the block does not read it completely."""
    descriptor, draft = tempfile.mkstemp(dir=_folder(), prefix="draft_")
    with os.fdopen(descriptor) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Lock before renaming: other processes look only for the final name.
        mark = Path(draft).rename(_folder() / public_id)
        try:
            yield
        finally:
            _remove(mark)


def remove_interrupted() -> int:
    """Remove batches of killed readers in this data folder; return the number removed."""
    return sum(_remove_if_left(mark) for mark in _folder().glob("batch_*"))


def _remove_if_left(mark: Path) -> bool:
    try:
        with mark.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _remove(mark)
    except (BlockingIOError, FileNotFoundError):
        # Another process is reading the batch, or has just finished.
        return False


def _remove(mark: Path) -> bool:
    # Remove the mark last: if this process fails before that, the next reader tries again.
    removed = batch_actions.discard_unread(mark.name)
    mark.unlink(missing_ok=True)
    return removed


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "reading"
    folder.mkdir(exist_ok=True)
    return folder
