"""The first line of an input is looked at before the input is read: it may name the endpoint."""

import io
import json
from typing import BinaryIO, cast

from batches.engine.records import ENDPOINTS, Endpoint

MOST_BLANK_LINES = 1000
BUFFER_BYTES = 64 * 1024


class _Rewound(io.RawIOBase):
    """A stream that begins with bytes that were read from it before; a pipe cannot be rewound."""

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
        # What has come of a pipe, without waiting for more.
        read = getattr(self._rest, "read1", self._rest.read)
        return cast("bytes", read(size))


def endpoint_named_in(stream: BinaryIO, *, most_bytes: int) -> tuple[BinaryIO, Endpoint | None]:
    """Return the endpoint that the first request of a JSONL file names, if it does, and the stream
    to read all of the file from."""
    beginning = line = b""
    for _ in range(MOST_BLANK_LINES):
        line = stream.readline(most_bytes)
        beginning += line
        if not line or line.strip():
            break
    whole = io.BufferedReader(_Rewound(beginning, stream), buffer_size=BUFFER_BYTES)
    return cast("BinaryIO", whole), _endpoint_of(line)


def _endpoint_of(line: bytes) -> Endpoint | None:
    try:
        url = json.loads(line).get("url")
    except (ValueError, AttributeError, RecursionError):
        return None
    return next((name for name in ENDPOINTS if url in (name, name.removeprefix("/v1"))), None)
