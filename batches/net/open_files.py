"""How many files this process may have open: every connection is one."""

import errno
import os
import resource
from pathlib import Path

# Databases, logs, the broker, and what a library opens for a moment.
SPARE = 64
# What the limit is raised to, where the system lets us: a process runs many batches side by side.
PLENTY = 65_536


def room_for(connections: int) -> int:
    """How many of these connections can be open at once, after the limit was raised; at least one.

    What other batches of this process have yet to open is not known, so there may be fewer.
    """
    taken = open_now() + SPARE
    limit = _raised_to(max(PLENTY, taken + connections))
    return connections if limit is None else max(1, min(connections, limit - taken))


def open_now() -> int:
    """How many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def none_left(error: OSError) -> bool:
    """Whether an error says that this process, or its machine, can open no more files."""
    return error.errno in (errno.EMFILE, errno.ENFILE)


def can_open() -> bool:
    """Whether one more file can be opened now."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return not none_left(error)
    return True


def _raised_to(wanted: int) -> int | None:
    """The limit, raised to this much as far as the system lets us; None if there is no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
