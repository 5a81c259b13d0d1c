"""Send invalid replies, on the level of the connection."""

import asyncio
import re
import socket
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import responses

from aiohttp import web

from simulator.effects import BodyFault, BrokenBody, Redirect

MARK = "@@mark@@"
MIB = 2**20
SECONDS_PER_BYTE = 0.1
DEEP_LEVELS = 100_000

Headers = Mapping[str, str]

_HTML = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True)
class GoodReplies:
    """The valid bodies: the usual answer, or an answer with a given text."""

    usual: Callable[[], bytes]
    saying: Callable[[str], bytes]

    def around(self) -> tuple[bytes, bytes]:
        """Return the parts of a body before and after some bytes in the middle of its answer."""
        start, _, end = self.saying(f"before {MARK} after").partition(MARK.encode())
        return start, end


class Gone(web.Response):
    """The return value of a handler that has closed the connection; it is never sent."""


async def send_broken(
    request: web.Request, fault: BrokenBody, good: GoodReplies, headers: Headers
) -> web.StreamResponse:
    """Send the broken body."""
    if fault.retry_after is not None:
        headers = {**headers, "retry-after": fault.retry_after}
    if fault.kind == "huge":
        return await _send_huge(request, fault, good, headers)
    if fault.kind == "trickle":
        return await _send_trickle(request, fault, good, headers)
    if fault.kind in {"short_content_length", "long_content_length"}:
        return _send_wrong_length(request, fault, good)
    if fault.kind == "gzip_bomb":
        bomb = await asyncio.to_thread(gzip_bomb, good.usual(), fault.mib)
        headers = {**headers, "content-encoding": "gzip"}
        return web.Response(body=bomb, status=fault.status, headers=headers)
    if fault.kind == "html":
        headers = {**headers, "content-type": "text/html; charset=utf-8"}
    body = _BODIES[fault.kind](good)
    return web.Response(body=body, status=fault.status, headers=headers)


def _truncated(good: GoodReplies) -> bytes:
    body = good.usual()
    return body[: len(body) // 2]


def _saying(raw: bytes) -> Callable[[GoodReplies], bytes]:
    return lambda good: raw.join(good.around())


def _not_a_number(good: GoodReplies) -> bytes:
    body = re.sub(rb'"total_tokens":\d+', b'"total_tokens":NaN', good.usual())
    return body[:-1] + b',"score":1e400}'


def _deep(good: GoodReplies) -> bytes:
    return good.usual()[:-1] + b',"levels":' + b"[" * DEEP_LEVELS + b"]" * DEEP_LEVELS + b"}"


_BODIES: dict[BodyFault, Callable[[GoodReplies], bytes]] = {
    "truncated": _truncated,
    "html": lambda _: _HTML,
    "empty": lambda _: b"",
    "wrong_shape": lambda _: b'{"unexpected":true}',
    "nul": _saying(rb"\u0000"),
    "surrogate": _saying(rb"\ud800"),
    "invalid_utf8": _saying(b"\xff\xfe\xc3("),
    "nan": _not_a_number,
    "deep": _deep,
}


async def _send_huge(
    request: web.Request, fault: BrokenBody, good: GoodReplies, headers: Headers
) -> web.StreamResponse:
    """Send a valid reply with a very long text, streamed without a Content-Length."""
    start, end = good.around()
    response = web.StreamResponse(status=fault.status, headers=headers)
    await response.prepare(request)
    await response.write(start)
    piece = b"x" * (MIB // 16)
    for _ in range(16 * fault.mib):
        await response.write(piece)
    await response.write(end)
    await response.write_eof()
    return response


async def _send_trickle(
    request: web.Request, fault: BrokenBody, good: GoodReplies, headers: Headers
) -> web.StreamResponse:
    """Send a valid reply byte by byte, so slowly that every client times out."""
    body = good.usual()
    response = web.StreamResponse(status=fault.status, headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(SECONDS_PER_BYTE)
    await response.write_eof()
    return response


def _send_wrong_length(request: web.Request, fault: BrokenBody, good: GoodReplies) -> Gone:
    """Announce half of the body and send all of it, or the reverse, and close the connection."""
    body = good.usual()
    half = len(body) // 2
    too_short = fault.kind == "short_content_length"
    length, sent = (half, body) if too_short else (len(body), body[:half])
    head = (
        f"HTTP/1.1 {fault.status} {responses.get(fault.status, 'Unknown')}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    if request.transport is not None:
        # Bypass aiohttp, which would correct the length.
        request.transport.write(head.encode() + sent)
        request.transport.close()
    return Gone()


def gzip_bomb(reply: bytes, mib: int) -> bytes:
    """Return a valid reply after `mib` MiB of white space, compressed about a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = packer.compress(reply) + packer.flush()
    checksum = zlib.crc32(reply, _checksum_of_spaces(mib))
    size = (mib * MIB + len(reply)) % 2**32
    head = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return head + _packed_spaces() * mib + end + struct.pack("<II", checksum, size)


@lru_cache(maxsize=1)
def _packed_spaces() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    # After a full flush the data has no back-references, so that the piece can be repeated.
    return packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)


@lru_cache(maxsize=8)
def _checksum_of_spaces(mib: int) -> int:
    checksum = 0
    for _ in range(mib):
        checksum = zlib.crc32(b" " * MIB, checksum)
    return checksum


def send_redirect(redirect: Redirect, headers: Headers) -> web.Response:
    """Return a redirect to another address."""
    return web.Response(status=redirect.status, headers={**headers, "location": redirect.url})


def reset_connection(request: web.Request) -> Gone:
    """Reset the connection with a TCP RST."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        # A linger time of 0 makes the kernel reset the connection instead of closing it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return Gone()


async def hang() -> Gone:
    """Never answer; end when the client disconnects or the server stops."""
    never: asyncio.Future[Gone] = asyncio.get_running_loop().create_future()
    return await never
