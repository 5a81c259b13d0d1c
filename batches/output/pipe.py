"""A file in memory that is taken away in pieces while it is written."""

import io
from typing import Any


class Pipe(io.RawIOBase):
    """Bytes that a writer of files has written, until they are taken to be sent."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._taken = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def tell(self) -> int:
        """Return the number of bytes written so far."""
        return self._taken + len(self._held)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = bytes(self._held)
        self._taken += len(taken)
        self._held.clear()
        return taken
