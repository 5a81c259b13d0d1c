"""A guarded connection pool to one host; all requests to providers and webhooks use it.

It uses httpx's transport interface with aiohttp underneath, not `httpx.AsyncClient`. There are no
redirects, no cookies, and no proxies and credentials from the environment, and a call needs a
quarter of the CPU (docs/adr/0003).
"""

import errno
import logging
import os
import re
import socket
import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator
from typing import Any, NoReturn, cast

import aiohttp
import httpx
from aiohttp import SocketFactoryType
from aiohttp.http_exceptions import HttpProcessingError

from batches.net.addresses import AddressPolicy
from batches.net.connection_pool import ConnectionPool, RequestBody
from batches.net.open_files import can_open, none_left, room_for
from batches.net.ways_out import DIRECT, WayOut

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0

_NUMBER = re.compile(r"\[Errno -?\d+\] ")

Take = Callable[[int], Awaitable[None]]

# The errors that `Transport.exchange` raises for a failed call, besides ReplyTooLong.
TRANSPORT_ERRORS = (httpx.HTTPError, aiohttp.ClientError, OSError, UnicodeError)

# Classes of causes, which tell more than httpx's own classes.
NOT_HTTP = (aiohttp.ClientResponseError, HttpProcessingError, httpx.DecodingError)
NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    # A proxy that opens no tunnel: the provider has seen nothing.
    aiohttp.ClientHttpProxyError,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
)
MISCONFIGURED = (
    aiohttp.ClientConnectorCertificateError,
    aiohttp.InvalidURL,
    ssl.SSLCertVerificationError,
    UnicodeError,
)


class ForbiddenAddressError(OSError):
    """A name leads to an address that may not be called.

    Its errno is EACCES: only the errno survives when each of several addresses is refused.
    """


class ReplyTooLong(Exception):
    """A reply was cut off because it is longer than the limit."""

    def __init__(self, reason: str, *, status_code: int) -> None:
        super().__init__(reason)
        self.status_code = status_code


class Transport:
    """A connection pool to one host; opened and closed inside one event loop.

    `connections` bounds the calls in flight. A reply is cut off at `max_reply_bytes`, counted
    after decompression. The caller sets the deadline of a call. `remedy` is the part of the error
    message that says how to allow the private {address}. Raise ValueError for a `way_out` with
    unreadable certificates. `pool` replaces the connections: it decides itself which addresses,
    certificates and proxies it uses.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        addresses: AddressPolicy,
        max_reply_bytes: int,
        remedy: str,
        way_out: WayOut = DIRECT,
        pool: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._host = httpx.URL(url).host
        self._connections = _possible(connections)
        self._addresses = addresses
        self._max_reply_bytes = max_reply_bytes
        self._remedy = remedy
        self._proxy = way_out.proxy
        # Reading the public authorities takes longer than a small batch.
        is_plain = way_out == DIRECT and httpx.URL(url).scheme == "http"
        self._ssl_context = True if is_plain else way_out.ssl_context()
        self._pool = pool or ConnectionPool(self._session)

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def exchange(
        self,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        content: bytes | None,
        *,
        take: Take | None = None,
    ) -> tuple[httpx.Response, bytes]:
        """Send one request and read its answer. Raise TRANSPORT_ERRORS and ReplyTooLong.

        `take` is awaited with the size of each part before more is read.
        """
        response = await self._pool.handle_async_request(_request(method, url, headers, content))
        try:
            return response, await self._read(response, take)
        finally:
            await response.aclose()

    async def _read(self, response: httpx.Response, take: Take | None) -> bytes:
        coding = _coding_of(response)
        if "," in coding:
            # We did not request compression. Each further layer could expand data a thousandfold.
            raise ReplyTooLong(
                "the reply is compressed more than once, so that its size has no bound",
                status_code=response.status_code,
            )
        parts: list[bytes] = []
        size = 0
        stream = response.aiter_bytes() if coding else response.stream
        async for part in cast("AsyncIterable[bytes]", stream):
            size += len(part)
            if size > self._max_reply_bytes:
                raise ReplyTooLong(
                    f"the reply is longer than {self._max_reply_bytes} bytes",
                    status_code=response.status_code,
                )
            parts.append(part)
            if take is not None:
                await take(len(part))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections, ssl=self._ssl_context, socket_factory=self._guard()
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S),
            auto_decompress=False,
            trust_env=False,
            proxy=self._proxy.url_with_credentials if self._proxy else None,
        )

    def _guard(self) -> SocketFactoryType | None:
        """Return a socket factory that checks addresses; None if every address is allowed."""
        proxy = self._proxy
        if proxy and (address := _refused_numeric(self._host, self._addresses)):
            return lambda _: self._forbid(address)
        if proxy and proxy.set_by_operator:
            return None
        host = proxy.host if proxy else self._host
        return None if self._addresses.allows_name(host) else self._guarded_socket

    def _guarded_socket(self, info: Any) -> socket.socket:
        # Called for each connection with its final address, so that a name cannot pass a check and
        # then lead elsewhere.
        family, kind, protocol, _, address = info
        if not self._addresses.allows(address[0]):
            self._forbid(address[0])
        return socket.socket(family, kind, protocol)

    def _forbid(self, address: str) -> NoReturn:
        raise ForbiddenAddressError(
            errno.EACCES,
            f"{address} is not a public address; if it is yours, "
            + self._remedy.format(address=address),
        )


def _request(
    method: str, url: httpx.URL, headers: httpx.Headers, content: bytes | None
) -> httpx.Request:
    # With `content=` instead of `stream=`, httpx needs 15 times as long.
    request = httpx.Request(method, url, headers=headers, stream=RequestBody(content or b""))
    if content is not None:
        request.headers["Content-Length"] = str(len(content))
    return request


def _coding_of(response: httpx.Response) -> str:
    """Return the compression of a reply; "" if there is none."""
    if any(name.lower() == b"content-encoding" for name, _ in response.headers.raw):
        return response.headers["content-encoding"]
    return ""


def _refused_numeric(host: str, addresses: AddressPolicy) -> str:
    """Return the address of a numeric host or localhost if it may not be called, else "".

    A proxy resolves names itself, so we cannot check them. But a number can be checked in any
    spelling (127.1, 0x7f000001), and `localhost` would be the proxy's own machine.
    """
    host = host.rstrip(".").lower()
    if addresses.allows_name(host):
        return ""
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"
    try:
        found = socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return ""
    refused = (str(place[0]) for *_, place in found if not addresses.allows(str(place[0])))
    return next(refused, "")


def _possible(connections: int) -> int:
    """Return the possible number of connections, up to `connections`; calls wait for the rest."""
    possible = room_for(connections)
    if possible < connections:
        logger.warning(
            "Only %d calls can be in flight, not %d: the limit of open files is too low. "
            "Raise its hard limit (ulimit -Hn, or LimitNOFILE= of a systemd unit)",
            possible,
            connections,
        )
    return possible


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes; the first cause comes last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        if isinstance(cause, aiohttp.ClientConnectorError):
            yield cause.os_error
            return
        cause = cause.__cause__


def is_forbidden(causes: list[BaseException]) -> bool:
    """Return True if the address policy refused the call."""
    return any(isinstance(cause, OSError) and cause.errno == errno.EACCES for cause in causes)


def no_file_left(causes: list[BaseException]) -> bool:
    """Return True if nothing was sent because this process or machine can open no more files."""
    if any(isinstance(cause, aiohttp.ClientConnectorDNSError) for cause in causes):
        # A DNS lookup opens files too, but its error does not show this cause.
        return not can_open()
    return any(isinstance(cause, OSError) and none_left(cause) for cause in causes)


def text_of(error: BaseException) -> str:
    """Return the text of an error on one line, without the wording of wrapping libraries."""
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        # asyncio's "Connect call failed" repeats the address, or lists several.
        is_known = isinstance(error, ConnectionError) or "Connect call failed" in error.strerror
        text = os.strerror(error.errno or 0) if is_known else error.strerror
    return " ".join(_NUMBER.sub("", text).split())
