"""Answers of any length, a piece at a time."""

from collections.abc import AsyncIterator, Generator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.http import HttpRequest, StreamingHttpResponse
from rest_framework.request import Request

# A piece costs a change of threads: many lines go together.
PIECE_BYTES = 64 * 1024


def streamed(request: Request | HttpRequest, chunks: Iterator[bytes]) -> StreamingHttpResponse:
    """An answer that is read as it is sent, and closed if the client goes away."""
    pieces = _pieces(chunks)
    # Django would read an ordinary iterator to its end before it sends the first byte.
    content = _in_thread(pieces) if is_asynchronous(request) else pieces
    return StreamingHttpResponse(content, content_type="application/octet-stream")


def let_go() -> None:
    """Keep no connection to the database as long as a client reads, which may be slow."""
    if not connection.in_atomic_block:
        connection.close()


def is_asynchronous(request: Request | HttpRequest) -> bool:
    """Whether the web server speaks ASGI. To a WSGI server each answer is a thread."""
    plain = request._request if isinstance(request, Request) else request
    return isinstance(plain, ASGIRequest)


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
    """The pieces, each made in the thread that has the connection to the database."""
    try:
        while piece := await sync_to_async(_next)(pieces):
            yield piece
    finally:
        await sync_to_async(pieces.close)()


def _next(pieces: Iterator[bytes]) -> bytes:
    """The next piece; nothing at the end, since StopIteration cannot pass through a future."""
    return next(pieces, b"")
