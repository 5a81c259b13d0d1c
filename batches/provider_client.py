"""Sends requests to a provider. The only module that speaks httpx.

It uses httpx's transport layer with aiohttp underneath, not `httpx.AsyncClient`: redirects,
cookies, proxies and credentials from the environment cannot happen where nothing implements them,
and a call costs half the CPU (docs/adr/0003).
"""

import errno
import json
import re
import socket
import ssl
from collections.abc import Iterator
from functools import lru_cache
from types import TracebackType
from typing import Any

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from batches.addresses import AddressPolicy
from batches.engine.errors import (
    ConfigError,
    DeadlineExceeded,
    MalformedReply,
    NetworkError,
    ProviderError,
)
from batches.engine.records import PreparedRequest, Reply
from batches.engine.replies import error_of, read_reply

CONNECT_TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 16 * 1024 * 1024

# A key shorter than this is a placeholder such as "none"; scrubbing it would garble answers.
LEAST_SECRET_CHARS = 16
READ_HEADERS = ("x-request-id", "retry-after", "retry-after-ms")

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])"
_BASE_URL = re.compile(rf"https?://{_HOST}(?::(?P<port>\d{{1,5}}))?(?:/[\w.~/-]*)?", re.ASCII)
_HEADER_TEXT = re.compile(r"[\x21-\x7e]*")


class ForbiddenAddressError(OSError):
    """A provider's name leads to an address that may not be called.

    Its errno is EACCES, which is what is left of it when each of several addresses is refused.
    """


def checked_base_url(text: str) -> str:
    """The base URL without a slash at its end. Raises ValueError with the reason.

    Only plain characters pass, so that no two parsers can read it differently.
    """
    match = _BASE_URL.fullmatch(text)
    if not match or int(match["port"] or 0) > 65535:
        raise ValueError(
            f"{text!r} is no base URL; give one such as https://api.example.com/v1, "
            "without user, query or fragment"
        )
    try:
        # Asked for the host, since that is where an invalid international name shows.
        _ = httpx.URL(text).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"{text!r} is no base URL: {error}") from error
    return text.rstrip("/")


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    # Made once: it takes 30 ms.
    return httpx.create_ssl_context(trust_env=False)


class ProviderClient:
    """A connection pool to one provider; opened and closed inside the event loop of a run.

    `connections` bounds the calls in flight. A reply is cut off at `max_reply_bytes`, counted
    after decompression. The deadline of a call is its caller's.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        connections: int = 100,
        addresses: AddressPolicy | None = None,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        if not _HEADER_TEXT.fullmatch(api_key):
            raise ValueError("the API key has characters that no HTTP header can carry")
        self._base_url = checked_base_url(base_url)
        self._secrets = _secrets(api_key)
        self._connections = connections
        self._addresses = addresses or AddressPolicy()
        self._max_reply_bytes = max_reply_bytes
        self._headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "threephase",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            }
        )
        self._urls: dict[str, httpx.URL] = {}
        self._transport = AiohttpTransport(verify=_ssl_context(), client=self._session)

    async def __aenter__(self) -> "ProviderClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    async def send(self, request: PreparedRequest) -> Reply:
        """Make one call. Raises a ProviderError for everything but a well-formed reply."""
        path = request.endpoint.removeprefix("/v1")
        response, raw = await self._exchange("POST", path, request.content)
        return read_reply(
            request.endpoint,
            status_code=response.status_code,
            headers=self._read_headers(response),
            raw=raw,
        )

    async def models(self) -> list[str]:
        """The names of the models that the provider lists. Raises a ProviderError."""
        response, raw = await self._exchange("GET", "/models", None)
        if response.status_code != 200:
            raise error_of(response.status_code, self._read_headers(response), raw)
        try:
            return [str(model["id"]) for model in json.loads(raw)["data"]]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise MalformedReply(f"{self._base_url}/models is no list of models") from error

    async def _exchange(
        self, method: str, path: str, content: bytes | None
    ) -> tuple[httpx.Response, bytes]:
        request = httpx.Request(
            method,
            self._url(path),
            headers=self._headers,
            content=content,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT_S}},
        )
        try:
            response = await self._transport.handle_async_request(request)
            try:
                raw = await self._read(response)
            finally:
                await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError, OSError, UnicodeError) as error:
            raise self._error_of(error) from error
        return response, self._scrubbed(raw)

    def _scrubbed(self, raw: bytes) -> bytes:
        """Bytes without the key: a provider that echoes it must not have us store it."""
        for secret in self._secrets:
            raw = raw.replace(secret, b"[key]")
        return raw

    def _read_headers(self, response: httpx.Response) -> dict[str, str]:
        """The headers that are read, free of the key."""
        headers = response.headers
        return {
            name: self._scrubbed(headers[name].encode()).decode()
            for name in READ_HEADERS
            if name in headers
        }

    async def _read(self, response: httpx.Response) -> bytes:
        if "," in response.headers.get("content-encoding", ""):
            # We asked for none. Each further one could grow what came a thousandfold at once.
            raise MalformedReply(
                "the reply is compressed more than once, so that its size has no bound "
                "(MAX_REPLY_BYTES)",
                status_code=response.status_code,
            )
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self._max_reply_bytes:
                raise MalformedReply(
                    f"the reply is longer than {self._max_reply_bytes} bytes (MAX_REPLY_BYTES)",
                    status_code=response.status_code,
                )
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = httpx.URL(self._base_url + path)
        return self._urls[path]

    def _session(self) -> aiohttp.ClientSession:
        host = httpx.URL(self._base_url).host
        guard = None if self._addresses.allows_name(host) else self._guarded_socket
        connector = aiohttp.TCPConnector(
            limit=self._connections, ssl=_ssl_context(), socket_factory=guard
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    def _guarded_socket(self, info: Any) -> socket.socket:
        # Asked for each connection with the address it will have, so that a name cannot pass a
        # check and then lead elsewhere.
        family, kind, protocol, _, address = info
        if not self._addresses.allows(address[0]):
            raise ForbiddenAddressError(
                errno.EACCES,
                f"{address[0]} is not a public address; if this provider is yours, "
                f"set PROVIDER_PRIVATE_HOSTS={address[0]}",
            )
        return socket.socket(family, kind, protocol)

    def _error_of(self, error: Exception) -> ProviderError:
        """The ProviderError that a failed call amounts to, told by its causes.

        httpx's own classes do not tell: the transport maps a refused connection to a time-out.
        """
        causes = list(_chain(error))
        if any(isinstance(cause, aiohttp.ClientPayloadError) for cause in causes):
            return NetworkError(f"{self._base_url}: the reply broke off")
        if any(isinstance(cause, _NOT_HTTP) for cause in causes):
            # Without the text of the cause: it quotes what came.
            return MalformedReply(f"{self._base_url}: the reply is not HTTP")
        if any(isinstance(cause, _MISCONFIGURED) for cause in causes) or _is_forbidden(causes):
            return ConfigError(f"{self._base_url}: {_text(causes[-1])}")
        if any(isinstance(cause, TimeoutError) for cause in causes):
            return DeadlineExceeded(f"{self._base_url}: {_text(causes[-1])}")
        return NetworkError(f"{self._base_url}: {_text(causes[min(1, len(causes) - 1)])}")


_NOT_HTTP = (aiohttp.ClientResponseError, HttpProcessingError, httpx.DecodingError)
_MISCONFIGURED = (
    aiohttp.ClientConnectorCertificateError,
    aiohttp.InvalidURL,
    ssl.SSLCertVerificationError,
    UnicodeError,
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and its causes, the first cause last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        if isinstance(cause, aiohttp.ClientConnectorError):
            yield cause.os_error
            return
        cause = cause.__cause__


def _is_forbidden(causes: list[BaseException]) -> bool:
    return any(isinstance(cause, OSError) and cause.errno == errno.EACCES for cause in causes)


def _secrets(api_key: str) -> tuple[bytes, ...]:
    """The forms in which a key may come back, plain and with JSON's other way to write a slash."""
    if len(api_key) < LEAST_SECRET_CHARS:
        return ()
    return tuple({api_key.encode(), api_key.replace("/", r"\/").encode()})


def _text(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())
