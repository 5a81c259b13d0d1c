"""Reading an input into a new batch: who does has a file locked, for as long as it lives.

A reader that is killed leaves a batch that can never run. Whoever reads next removes it: at once,
which a lease could not tell, since standard input may bring nothing for hours.
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
    """Be the reader of the batch that the block makes; what it leaves unread is removed."""
    descriptor, draft = tempfile.mkstemp(dir=_folder(), prefix="draft_")
    with os.fdopen(descriptor) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Nobody finds it before it is locked.
        mark = Path(draft).rename(_folder() / public_id)
        try:
            yield
        finally:
            _remove(mark)


def remove_interrupted() -> int:
    """Remove the batches whose readers in this data folder were killed; how many there were."""
    return sum(_remove_if_left(mark) for mark in _folder().glob("batch_*"))


def _remove_if_left(mark: Path) -> bool:
    try:
        with mark.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _remove(mark)
    except (BlockingIOError, FileNotFoundError):
        # It is being read, or was just now.
        return False


def _remove(mark: Path) -> bool:
    # The mark last: should this fail, the next reader finds it.
    removed = batch_actions.discard_unread(mark.name)
    mark.unlink(missing_ok=True)
    return removed


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "reading"
    folder.mkdir(exist_ok=True)
    return folder
