"""Responses of any length, sent in pieces."""

from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

if TYPE_CHECKING:
    # The admin uses this module too, without DRF.
    from rest_framework.request import Request

from batches.database import connection

# Each piece costs a thread switch, so lines are sent in large pieces.
PIECE_BYTES = 64 * 1024


def streamed(request: "Request | HttpRequest", chunks: Iterator[bytes]) -> StreamingHttpResponse:
    """Return a response that is read while it is sent, and closed if the client disconnects."""
    pieces = _pieces(chunks)
    # Django would read an ordinary iterator to its end before it sends the first byte.
    content = _in_thread(pieces) if is_asynchronous(request) else pieces
    return StreamingHttpResponse(content, content_type="application/octet-stream")


def let_go() -> None:
    """Close the database connection, since a client may read slowly."""
    if not connection.in_atomic_block:
        connection.close()


def is_asynchronous(request: "Request | HttpRequest") -> bool:
    """Return True if the web server uses ASGI. In WSGI each response occupies a thread."""
    # DRF's request has Django's inside.
    return isinstance(getattr(request, "_request", request), ASGIRequest)


def _pieces(chunks: Iterator[bytes]) -> Generator[bytes, None, None]:
    piece = bytearray()
    for chunk in chunks:
        piece += chunk
        if len(piece) >= PIECE_BYTES:
            let_go()
            yield bytes(piece)
            piece.clear()
    let_go()
    if piece:
        yield bytes(piece)


async def _in_thread(pieces: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    """Yield the pieces; each is made in the thread that has the database connection."""
    try:
        while piece := await sync_to_async(_next)(pieces):
            yield piece
    finally:
        await sync_to_async(pieces.close)()


def _next(pieces: Iterator[bytes]) -> bytes:
    """Return the next piece; b"" at the end, since StopIteration cannot pass a future."""
    return next(pieces, b"")
