"""The limit of open files of this process; every connection counts as one."""

import errno
import os
import resource
from pathlib import Path

# Room for databases, logs, the broker, and files that a library opens briefly.
SPARE = 64
# Raise the limit to this if the system allows it: a process runs many batches side by side.
PLENTY = 65_536


def room_for(connections: int) -> int:
    """Raise the limit; return how many of these connections can be open at once, at least one.

    The future connections of other batches in this process are unknown, so fewer may be possible.
    """
    taken = open_now() + SPARE
    limit = _raised_to(max(PLENTY, taken + connections))
    return connections if limit is None else max(1, min(connections, limit - taken))


def open_now() -> int:
    """Return the number of open files of this process."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def none_left(error: OSError) -> bool:
    """Return True if an error means that this process or machine can open no more files."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def can_open() -> bool:
    """Return True if one more file can be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return not none_left(error)
    return True


def _raised_to(wanted: int) -> int | None:
    """Raise the limit as far as the system allows; return it, or None if there is no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
