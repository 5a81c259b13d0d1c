"""Give a file that can be read at any place, as a table that is not text needs it."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from batches.inputs.text_lines import GZIP, unpacked_pieces


@contextmanager
def random_access(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the file of a stream, or an unpacked copy of it if it is a pipe or compressed."""
    if _is_seekable(stream):
        stream.seek(0)
        is_packed = stream.read(len(GZIP)) == GZIP
        stream.seek(0)
        if not is_packed:
            yield stream
            return
    with tempfile.TemporaryFile() as copy:
        _, pieces = unpacked_pieces(stream)
        copy.writelines(pieces)
        copy.seek(0)
        yield copy


def size_of(file: BinaryIO) -> int:
    """Return the size of a file in bytes."""
    return file.seek(0, io.SEEK_END)


def _is_seekable(stream: BinaryIO) -> bool:
    # A stream that is watched while it is read has nothing but `read`.
    ask = getattr(stream, "seekable", None)
    return ask is not None and ask()
