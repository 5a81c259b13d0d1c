"""A forward proxy on a real socket: CONNECT for https, absolute URLs for http."""

import asyncio
import base64
from contextlib import suppress
from urllib.parse import urlsplit


class ForwardProxy:
    """Passes bytes on to where a request says, or refuses with `status`.

    `seen` has the first line of every request, `credentials` what came in Proxy-Authorization.
    A host of `leads_to` is looked up there: a proxy has a name server of its own.
    """

    def __init__(
        self, *, status: int = 0, login: str = "", leads_to: dict[str, str] | None = None
    ) -> None:
        self.seen: list[str] = []
        self.credentials: list[str] = []
        self.heads: list[str] = []
        self.port = 0
        self._status = status
        self._login = login
        self._leads_to = leads_to or {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "ForwardProxy":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _head(reader):
            first, *lines = head.split("\r\n")[:-2]
            method, target, version = first.split(" ")
            self.seen.append(first)
            self.heads.append(head)
            login = _value(lines, "proxy-authorization").removeprefix("Basic ")
            self.credentials.append(base64.b64decode(login).decode("latin-1"))
            if refused := 407 if self._login != self.credentials[-1] else self._status:
                writer.write(f"HTTP/1.1 {refused} No\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
                return
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            host = parts.hostname or ""
            out = await asyncio.open_connection(self._leads_to.get(host, host), parts.port or 80)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_copy(reader, out[1]), _copy(out[0], writer))
                return
            kept = [line for line in lines if not line.lower().startswith("proxy-")]
            start = f"{method} {parts.path} {version}"
            out[1].write("\r\n".join([start, *kept, "", ""]).encode("latin-1"))
            out[1].write(await _body(reader, lines))
            answer = await _head(out[0])
            writer.write(answer.encode("latin-1"))
            writer.write(await _body(out[0], answer.split("\r\n")))
            out[1].close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return ""


async def _body(reader: asyncio.StreamReader, lines: list[str]) -> bytes:
    return await reader.readexactly(int(_value(lines, "content-length") or 0))


def _value(lines: list[str], name: str) -> str:
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for given, _, value in pairs if given.lower() == name), "")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
