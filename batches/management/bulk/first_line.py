"""Peek at the first line of an input, which shows its format and may name the endpoint."""

import io
import json
from typing import Any, BinaryIO, cast

from batches.engine.endpoints import ENDPOINTS, endpoint_of
from batches.inputs.text_lines import UnreadableFile, utf8_stream

BUFFER_BYTES = 64 * 1024


class _Rewound(io.RawIOBase):
    """A stream that first returns bytes already read from it, since a pipe cannot be rewound."""

    def __init__(self, beginning: bytes, rest: BinaryIO) -> None:
        super().__init__()
        self._beginning = io.BytesIO(beginning)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # what callers give
        data = self._beginning.read(len(buffer)) or self._read_rest(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _read_rest(self, size: int) -> bytes:
        # Return the bytes available now, without waiting for more.
        read = getattr(self._rest, "read1", self._rest.read)
        return cast("bytes", read(size))


class _Broken:
    """The rest of an unreadable stream: reading it raises the error again."""

    def __init__(self, error: UnreadableFile) -> None:
        self._error = error

    def read(self, _size: int) -> bytes:
        raise self._error


def first_line_of(stream: BinaryIO, *, most_bytes: int) -> tuple[BinaryIO, str]:
    """Return a stream with the whole input, and its first line with any text."""
    text: Any = utf8_stream(stream, in_lines=False)
    beginning = line = b""
    try:
        while len(beginning) < most_bytes:
            line = text.readline(most_bytes - len(beginning))
            beginning += line
            if not line or line.strip():
                break
    except UnreadableFile as error:
        text = _Broken(error)
    whole = io.BufferedReader(_Rewound(beginning, text), buffer_size=BUFFER_BYTES)
    return cast("BinaryIO", whole), line.decode("utf-8-sig", "replace").strip()


def endpoint_named_in(line: str) -> str | None:
    """Return the endpoint that a request names; None if it names none of the usual ones."""
    try:
        path = endpoint_of(json.loads(line)["url"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    # Any other path may be a typo, so it must be given as an option.
    return path if path in ENDPOINTS else None
