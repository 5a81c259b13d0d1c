"""Downloads: files of any size, streamed in chunks and never rendered by the browser."""

import zipfile
from collections.abc import Callable, Iterable, Iterator

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from batches.api.http.streaming import streamed
from batches.extras import require
from batches.models import Batch, File
from batches.output.files import output_lines
from batches.output.jsonl import result_line, result_rows
from batches.output.pipe import Pipe

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


def parquet_of(batch: Batch) -> Iterator[bytes]:
    """Yield the table of the results as Parquet, one row group at a time."""
    require("tables", "Parquet")
    # Arrow is large: a process without such a download does not load it.
    from batches.output.parquet import parquet_pieces  # noqa: PLC0415 - takes long

    return parquet_pieces(batch)


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
