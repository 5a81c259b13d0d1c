"""httpx's transport interface over an aiohttp session.

The objects of httpx are built in their cheap forms: a request with a stream, and a response with
the headers as received. A call then costs hardly more CPU than the session alone (docs/adr/0003).
"""

from collections.abc import AsyncIterator, Callable

import aiohttp
import httpx

# A longer body is sent in parts of this size, so that a connection never holds a second copy.
PART_BYTES = 256 * 1024
# A reply is read in parts of this size, since a compressed part may become a thousand times longer.
READ_BYTES = 16 * 1024

# The errors that become errors of httpx; the others are raised unchanged.
_CONNECTION_ERRORS = (
    aiohttp.ClientConnectionError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientPayloadError,
    aiohttp.InvalidUrlClientError,
    aiohttp.NonHttpUrlClientError,
)


class RequestBody(httpx.AsyncByteStream):
    """The body of a request: bytes for a transport that sends bytes, else a stream of parts."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.content), PART_BYTES):
            yield self.content[start : start + PART_BYTES]


class ReplyBody(httpx.AsyncByteStream):
    """The body of a reply as it is sent; at its end the connection is free for the next call."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while not content.at_eof():
                if part := await content.read(READ_BYTES):
                    yield part
        except _CONNECTION_ERRORS as error:
            raise httpx.ReadError(str(error)) from error

    async def aclose(self) -> None:
        # A connection is closed if its reply is not read to the end.
        self._response.release()
        try:
            await self._response.wait_for_close()
        except _CONNECTION_ERRORS as error:
            raise httpx.CloseError(str(error)) from error


class ConnectionPool(httpx.AsyncBaseTransport):
    """Send requests over the connections of one session, which is opened by the first call."""

    def __init__(self, open_session: Callable[[], aiohttp.ClientSession]) -> None:
        self._open_session = open_session
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; neither follow a redirect nor decompress the reply."""
        session = self._session = self._session or self._open_session()
        try:
            response = await session.request(
                request.method,
                str(request.url),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=_data_of(request),
                allow_redirects=False,
            )
        except _CONNECTION_ERRORS as error:
            raise httpx.TransportError(str(error)) from error
        return httpx.Response(
            response.status, headers=response.raw_headers, stream=ReplyBody(response)
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


def _data_of(request: httpx.Request) -> bytes | httpx.AsyncByteStream | None:
    """Return the body for aiohttp: whole if it is short or httpx has it whole, else in parts."""
    body = request.stream
    if isinstance(body, RequestBody) and len(body.content) <= PART_BYTES:
        return body.content or None
    if isinstance(body, httpx.ByteStream):
        return b"".join(body) or None
    if not isinstance(body, httpx.AsyncByteStream):
        raise TypeError("the body of a request must be an asynchronous stream")
    return body
