"""Downloads: files of any size, streamed in chunks and never rendered by the browser."""

from collections.abc import Iterator

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from batches.api.http.streaming import streamed
from batches.models import Batch, File
from batches.output.files import output_lines
from batches.output.jsonl import result_line, result_rows


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
