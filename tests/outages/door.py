"""A front of a provider that goes away in several ways and comes back.

    with Door(simulator.base_url, "503") as door:
        ...  # calls to door.base_url reach the provider
        door.shut()
        ...  # each gets a 503
        door.open()

It listens in a thread of its own and keeps an account of the calls that come while it is shut.
"""

import asyncio
import math
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, Self, get_args
from urllib.parse import urlsplit

from tests.outages.knocks import Knocks
from tests.server_process import free_port

Kind = Literal["refused", "502", "503", "dns", "tls", "hang"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Nothing is concluded from it.
PATIENCE_S = 30.0
BACKLOG = 2048
ADDRESS = "127.0.0.1"
# While it is away in these ways no socket listens.
CLOSED: frozenset[Kind] = frozenset({"refused", "dns"})
# How long a gateway takes to say that it has no provider.
GATEWAY_S = 0.05

# As llama.cpp says it while it loads a model, and as nginx says it.
LOADING = b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}'
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head></html>"
HEAD = b"HTTP/1.1 %s\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
REPLIES: dict[Kind, bytes] = {
    "502": HEAD % (b"502 Bad Gateway", b"text/html", len(BAD_GATEWAY)) + BAD_GATEWAY,
    "503": HEAD % (b"503 Service Unavailable", b"application/json", len(LOADING)) + LOADING,
}

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Span:
    """From when until when something was there (monotonic)."""

    began: float
    ended: float


class Door:
    """Passes calls on to a provider while it is open, and fails them its own way while shut."""

    def __init__(
        self, behind: str, kind: Kind, *, host: str = ADDRESS, tls: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(behind)
        self._behind = parts.hostname or "", parts.port or 80
        self.kind: Kind = kind
        self._tls = tls
        self.port = free_port()
        self.base_url = f"{'https' if tls else 'http'}://{host}:{self.port}/v1"
        self._visits: list[Span] = []
        self._shut_times: list[Span] = []
        self._numbers = count()
        self._knocks = Knocks(self.port)
        self._stack = ExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._away = asyncio.Event()
        self._over = asyncio.Event()
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)

    def __enter__(self) -> Self:
        self._stack.enter_context(self._knocks)
        self._thread.start()
        self._loop.result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.result().call_soon_threadsafe(self._over.set)
        self._thread.join(PATIENCE_S)
        self._stack.close()

    def shut(self) -> None:
        """Let the provider be away: calls on their way are cut off."""
        self._await(self._shut())

    def open(self) -> None:
        """Let it be back."""
        self._await(self._open())

    @property
    def counts_all(self) -> bool:
        """Return True if every call is counted that is made while the provider is away."""
        return self._knocks.counted or self.kind not in CLOSED

    @property
    def visits(self) -> list[Span]:
        """The calls that came while it was shut, in their order."""
        if self.kind not in CLOSED:
            return list(self._visits)
        # Attempts to connect to the open port look the same.
        return [
            Span(moment, moment)
            for moment in self._knocks.times
            if any(shut.began <= moment < shut.ended for shut in self._shut_times)
        ]

    def most_at_once(self, since: float) -> int:
        """The most calls that were there at once, of those that came after a moment."""
        later = [visit for visit in self.visits if visit.began >= since]
        return max(
            (sum(one.began <= visit.began <= one.ended for one in later) for visit in later),
            default=0,
        )

    def _await(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop.result()).result(PATIENCE_S)

    def _run(self) -> None:
        asyncio.run(self._serve_until_over())

    async def _serve_until_over(self) -> None:
        await self._listen()
        self._loop.set_result(asyncio.get_running_loop())
        await self._over.wait()
        self._stop_listening()
        await self._end_calls()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, ADDRESS, self.port, ssl=self._tls, backlog=BACKLOG
        )

    def _stop_listening(self) -> None:
        if self._server:
            self._server.close()
        self._server = None

    async def _end_calls(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _shut(self) -> None:
        self._away.set()
        if self.kind in CLOSED or self.kind == "tls":
            self._stop_listening()
            await self._end_calls()
        if self.kind == "tls":
            self._server = await asyncio.start_server(self._spoilt, ADDRESS, self.port)
        self._shut_times.append(Span(time.monotonic(), math.inf))

    async def _open(self) -> None:
        self._shut_times[-1].ended = time.monotonic()
        if self.kind in CLOSED or self.kind == "tls":
            self._stop_listening()
            await self._end_calls()
            await self._listen()
        self._away.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._ending(writer):
            while request := await message(reader):
                if self._away.is_set():
                    with self._noted():
                        await self._fail(reader, writer)
                elif reply := await self._pass_on(request):
                    writer.write(reply)
                    await writer.drain()
                else:
                    await self._fail(reader, writer)

    async def _pass_on(self, request: bytes) -> bytes | None:
        """Return the provider's reply, or None if it goes away before it has answered."""
        reply = asyncio.ensure_future(exchange(self._behind, request))
        away = asyncio.ensure_future(self._away.wait())
        try:
            await asyncio.wait({reply, away}, return_when=asyncio.FIRST_COMPLETED)
            return reply.result() if reply.done() else None
        finally:
            reply.cancel()
            away.cancel()

    async def _spoilt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Break off a TLS handshake, each time in another way."""
        with self._ending(writer), self._noted():
            await reader.read(4096)
            match next(self._numbers) % 3:
                case 0:
                    reset(writer)
                case 1:
                    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    async def _fail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a call while the provider is away, or never."""
        if self.kind == "hang":
            while await reader.read(65536):
                pass
            return
        await asyncio.sleep(GATEWAY_S)
        writer.write(REPLIES[self.kind])
        await writer.drain()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep the account of a call while it is there."""
        visit = Span(time.monotonic(), math.inf)
        self._visits.append(visit)
        try:
            yield
        finally:
            visit.ended = time.monotonic()

    @contextmanager
    def _ending(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Close a connection in the end, and break it off if the block is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            yield
        except (OSError, asyncio.IncompleteReadError):
            # The other side went away.
            pass
        except asyncio.CancelledError:
            reset(writer)
        finally:
            self._tasks.discard(task)
            writer.close()


async def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """Send a request, and return the reply."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(request)
        return await message(reader)
    finally:
        writer.close()


async def message(reader: asyncio.StreamReader) -> bytes:
    """Return a whole HTTP message, or b"" at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def reset(writer: asyncio.StreamWriter) -> None:
    """Tear a connection down with a TCP RST."""
    connection: socket.socket = writer.get_extra_info("socket")
    # To linger for no time is what makes the kernel reset instead of finish.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
