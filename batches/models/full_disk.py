"""Recognise a full disk below the SQLite database: unlike other faults, it does not pass soon."""

import os
import sqlite3
from contextlib import suppress

from batches.database import connection

# SQLite names other errors when it finds no room for its log or its shared memory.
_OF_FILES = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
# Less than what SQLite adds to a file at once.
LEAST_FREE_BYTES = 64 * 1024


def is_full(error: Exception) -> bool:
    """Return True if a statement failed because the disk of the database is full."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    if code is None:
        return False
    # The extended codes have their kind in the lowest byte.
    kind = code & 0xFF
    return kind == sqlite3.SQLITE_FULL or (kind in _OF_FILES and _has_no_room())


def _has_no_room() -> bool:
    with suppress(OSError):
        disk = os.statvfs(os.path.dirname(connection.settings_dict["NAME"]) or ".")  # noqa: PTH120 - may be a URI
        return disk.f_bavail * disk.f_frsize < LEAST_FREE_BYTES
    return False
