"""Downloads: files of any size, streamed in chunks and never rendered by the browser."""

import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from batches.api.http.streaming import streamed
from batches.models import Batch, File
from batches.output.files import output_lines
from batches.output.jsonl import result_line, result_rows

# Yields the results of a batch as a file.
LinesOf = Callable[[Batch], Iterator[bytes]]


def download(request: HttpRequest, chunks: Iterator[bytes], *, name: str) -> HttpResponseBase:
    """Return a response that a browser saves under this name."""
    response = streamed(request, chunks)
    disposition = content_disposition_header(True, name)  # noqa: FBT003 - positional only
    response["Content-Disposition"] = disposition or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def bytes_of(file: File) -> Iterator[bytes]:
    """Yield the content of a file, stored or generated from results."""
    lines = output_lines(file)
    if lines is not None:
        yield from lines
        return
    with file.content.open("rb") as content:
        yield from content.chunks()


def jsonl_of(batch: Batch) -> Iterator[bytes]:
    """Yield a line for each result, failed or not, in the order of the input."""
    for row in result_rows(batch):
        yield f"{result_line(row)}\n".encode()


class Pipe(io.RawIOBase):
    """Bytes that a ZIP file has written, until they are taken to be sent."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken = bytes(self._held)
        self._held.clear()
        return taken


def zip_of(batches: Iterable[Batch], lines_of: LinesOf, ending: str) -> Iterator[bytes]:
    """Yield a ZIP file with a file of results for each batch, named by its ID."""
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for batch in batches:
            # The size is not known before the end.
            with archive.open(f"{batch.public_id}.{ending}", "w", force_zip64=True) as file:
                for line in lines_of(batch):
                    file.write(line)
                    yield pipe.take()
    yield pipe.take()
