"""A server on a real socket that answers each request as its script says, byte by byte.

    async with ScriptedServer(answer(body=b"{}"), hang()) as server:
        ...  # the first request gets the answer, the second and all that follow hang

It runs in the event loop of the test and counts what arrives: connections, requests, and how many
were open or under way at once.
"""

import asyncio
import json
import socket
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came; `connection` counts from 1."""

    connection: int
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that comes once at most."""
        found = [value for given, value in self.headers if given.lower() == name.lower()]
        assert len(found) <= 1, f"{name} was sent {len(found)} times"
        return found[0] if found else None


@dataclass(slots=True)
class Visit:
    """A request with the way back to who sent it."""

    request: Received
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def until_gone(self) -> None:
        """Wait until the other side closes the connection."""
        while await self.reader.read(65536):
            pass


Step = Callable[[Visit], Awaitable[None]]


class ScriptedServer:
    """Answers request n by step n of the script; the last step is repeated."""

    def __init__(self, *script: Step, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.under_way = 0
        self.most_under_way = 0
        self.port = 0
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ScriptedServer":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def base_url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}/v1"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await self._serve(reader, writer, self.connections)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The other side went away, or the test is over.
            writer.transport.abort()
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        while not writer.is_closing() and (request := await _receive(reader, connection)):
            step = self._script[min(len(self.requests), len(self._script) - 1)]
            self.requests.append(request)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            try:
                await step(Visit(request, reader, writer))
            finally:
                self.under_way -= 1


async def _receive(reader: asyncio.StreamReader, connection: int) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Received(connection, method, path, headers, await reader.readexactly(length))


def head(status: int = 200, /, **headers: object) -> bytes:
    """A status line and headers; `content_length=5` gives `content-length: 5`."""
    lines = [f"HTTP/1.1 {status} OK"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def as_bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def answer(body: object = b"{}", *, status: int = 200, **headers: object) -> Step:
    """A whole answer with its length; the connection stays open."""
    content = as_bytes(body)
    return sends(head(status, **{"content_length": len(content), **headers}) + content)


def sends(*pieces: bytes) -> Step:
    """These bytes and no others, piece by piece; the connection stays open."""

    async def step(visit: Visit) -> None:
        for piece in pieces:
            await visit.send(piece)

    return step


def chunked(*parts: bytes) -> Step:
    """An answer in chunks."""
    pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return sends(head(transfer_encoding="chunked"), *pieces, b"0\r\n\r\n")


def closes(*pieces: bytes) -> Step:
    """These bytes, then the end of the connection."""

    async def step(visit: Visit) -> None:
        await sends(*pieces)(visit)
        visit.writer.close()

    return step


def resets(*pieces: bytes) -> Step:
    """These bytes, then a RST."""

    async def step(visit: Visit) -> None:
        await sends(*pieces)(visit)
        connection: socket.socket = visit.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        visit.writer.transport.abort()

    return step


def hangs() -> Step:
    """Nothing, until the other side gives up."""
    return lambda visit: visit.until_gone()


def trickles(start: bytes, piece: bytes = b" ", *, every_s: float = 0.01) -> Step:
    """A start, then a piece now and then, until the other side gives up."""

    async def step(visit: Visit) -> None:
        await visit.send(start)
        gone = asyncio.create_task(visit.until_gone())
        try:
            while not gone.done():
                await visit.send(piece)
                await asyncio.sleep(every_s)
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await gone

    return step


def waits_for(event: asyncio.Event, then: Step) -> Step:
    """Nothing before the event, then another step."""

    async def step(visit: Visit) -> None:
        await event.wait()
        await then(visit)

    return step


def echoes(make: Callable[[str], Step]) -> Step:
    """What `make` makes of the Authorization header's credentials."""

    async def step(visit: Visit) -> None:
        scheme, _, key = (visit.request.header("authorization") or "").partition(" ")
        assert scheme == "Bearer"
        await make(key)(visit)

    return step


def gzip_bomb(mebibytes: int) -> bytes:
    """Half a kilobyte for each mebibyte of zeros: one compressed block again and again."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = squeezer.compress(b"") + squeezer.flush(zlib.Z_FULL_FLUSH)
    block = squeezer.compress(b"\x00" * 2**20) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return start + block * mebibytes


def chat(content: object = "hello", **changes: Any) -> dict[str, Any]:
    """A chat completion."""
    return {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        **changes,
    }


# For localhost and 127.0.0.1, signed by itself; it guards nothing.
SELF_SIGNED = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgbb36gJMvcMquXCYB
JSsuH2/DTIEKpV9tLdcOuZzWyb6hRANCAAQFkdzwOyHBlCCE8BmCMIUS363mVr1v
ucj8zYD/JlU/mcY8U+2YlI18mGbk2Qa6AdUw6VPCB9Ba/VrdZ2bX3rLe
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUO1IqlqNYyblgniDNvq5YNoxSL5gwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIxNDM0N1oYDzIxMjYxMDMw
MjE0MzQ3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQFkdzwOyHBlCCE8BmCMIUS363mVr1vucj8zYD/JlU/mcY8U+2YlI18
mGbk2Qa6AdUw6VPCB9Ba/VrdZ2bX3rLeo28wbTAdBgNVHQ4EFgQUOG6t0p11ls5Y
yiO0pDINcyOBqMQwHwYDVR0jBBgwFoAUOG6t0p11ls5YyiO0pDINcyOBqMQwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgH0v10uMH4Oaw0bp+TihdNAixCojQCoenErgjYP307LcCIQDp
prhZvVHN3waelrqDhC0mjgeyXMrNmTPMIzZ18HN5SA==
-----END CERTIFICATE-----
"""


def self_signed(folder: Path) -> ssl.SSLContext:
    """A TLS context with a certificate that nobody has reason to trust."""
    path = folder / "self_signed.pem"
    path.write_text(SELF_SIGNED)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def closed_port() -> int:
    """A port of this machine without a server, and kept so until this process ends."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    port: int = taken.getsockname()[1]
    # It stays bound.
    taken.detach()
    return port
