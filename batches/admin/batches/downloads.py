"""What is downloaded: of any size, a piece at a time, and never shown as a page."""

from collections.abc import Iterator

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from batches.api.http.streaming import streamed
from batches.models import Batch, File
from batches.output.files import output_lines
from batches.output.jsonl import result_line, result_rows


def download(request: HttpRequest, chunks: Iterator[bytes], *, name: str) -> HttpResponseBase:
    """An answer that a browser saves under this name."""
    response = streamed(request, chunks)
    disposition = content_disposition_header(True, name)  # noqa: FBT003 - positional only
    response["Content-Disposition"] = disposition or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def bytes_of(file: File) -> Iterator[bytes]:
    """The bytes of a file, whether it is stored or written from results."""
    lines = output_lines(file)
    if lines is not None:
        yield from lines
        return
    with file.content.open("rb") as content:
        yield from content.chunks()


def jsonl_of(batch: Batch) -> Iterator[bytes]:
    """A line for each result in the order of the input, those that failed among them."""
    for row in result_rows(batch):
        yield f"{result_line(row)}\n".encode()
