"""Send requests to a provider and return its replies or errors."""

import json
import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import aiohttp
import httpx

from batches.engine.errors import (
    DeadlineExceeded,
    EndpointUnusable,
    MalformedReply,
    NetworkError,
    NoFileLeft,
    NotAnApi,
    ProviderError,
    Unreachable,
)
from batches.engine.rates.announced import ANNOUNCING_HEADERS
from batches.engine.records import PreparedRequest, Reply
from batches.engine.replies.errors import error_of
from batches.engine.replies.event_streams import is_event_stream
from batches.engine.replies.finish_reasons import raise_if_broken_off
from batches.engine.replies.replies import read_reply
from batches.net.addresses import HOST_PATTERN, AddressPolicy
from batches.net.remedies import CHECK_ADDRESS, Trouble, trouble_in, trouble_of
from batches.net.transport import (
    MISCONFIGURED,
    NOT_CONNECTED,
    NOT_HTTP,
    TRANSPORT_ERRORS,
    ReplyTooLong,
    Take,
    Transport,
    causes_of,
    is_forbidden,
    no_file_left,
    text_of,
)
from batches.net.ways_out import DIRECT, WayOut
from batches.secrets.scrubber import SCRUBBED, SecretScrubber

MAX_REPLY_BYTES = 16 * 1024 * 1024

# By default loopback is allowed, since naming it is deliberate.
THIS_MACHINE = AddressPolicy(["localhost", "127.0.0.0/8", "::1"])
LIMIT_HEADERS = ("x-ratelimit-", "ratelimit-")
READ_HEADERS = ("x-request-id", "retry-after", "retry-after-ms", *ANNOUNCING_HEADERS)
_READ_RAW = {name.encode(): name for name in READ_HEADERS}

_BASE_URL = re.compile(
    rf"https?://{HOST_PATTERN}(?::(?P<port>\d{{1,5}}))?(?:/[\w.~/-]*)?", re.ASCII
)
_HEADER_TEXT = re.compile(r"[\x21-\x7e]*")


def checked_base_url(text: str) -> str:
    """Return the base URL without a slash at its end. Raise ValueError with the reason.

    Only plain characters are allowed, so that all parsers read the URL in the same way.
    """
    match = _BASE_URL.fullmatch(text)
    if not match or int(match["port"] or 0) > 65535:
        raise ValueError(
            f"{_shown_url(text)!r} is not a valid base URL; give one such as "
            "https://api.example.com/v1, without user, query or fragment"
        )
    try:
        # Read the host, since only that reveals an invalid international name.
        _ = httpx.URL(text).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"{text!r} is not a valid base URL: {error}") from error
    return text.rstrip("/")


def _shown_url(text: str) -> str:
    """Return a URL without its user and its query, which may have a password or a key."""
    return re.sub(r"//[^/@]*@", "//...@", re.sub(r"[?#].*", "?...", text, flags=re.DOTALL))


def origin_of(base_url: str) -> tuple[str, str, int]:
    """Return the server of a base URL: scheme, host and port."""
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


@dataclass(frozen=True, slots=True)
class Look:
    """The models that a provider lists, and the limits in the headers of that reply."""

    models: list[str]
    limits: dict[str, str]


class ProviderClient:
    """A connection pool to one provider; opened and closed inside the event loop of a run.

    `connections` bounds the calls in flight. A reply is cut off at `max_reply_bytes`, counted
    after decompression. The caller sets the deadline of a call. `addresses` are the allowed
    addresses, and `remedy` is the part of an error message that says how to allow {address}.
    `way_out` has the certificates and the proxy of its connections. A `transport` of httpx replaces
    the connections: then it decides where they lead, and neither `addresses` nor `way_out` count.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str = "",
        connections: int = 100,
        addresses: AddressPolicy = THIS_MACHINE,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        remedy: str = "give ProviderClient addresses=AddressPolicy(['{address}'])",
        way_out: WayOut = DIRECT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if not _HEADER_TEXT.fullmatch(api_key):
            raise ValueError("the API key has characters that are not allowed in HTTP headers")
        self._base_url = checked_base_url(base_url)
        self._way_out = way_out
        through = f" (through the proxy {way_out.proxy.url})" if way_out.proxy else ""
        self._place = self._base_url + through
        self._scrubber = SecretScrubber(api_key)
        self._headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": "threephase",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
                # aiohttp adds it; other transports leave that to httpx's client.
                **({"Host": httpx.URL(base_url).netloc.decode("ascii")} if transport else {}),
            }
        )
        self._urls: dict[str, httpx.URL] = {}
        self._transport = Transport(
            base_url,
            connections=connections,
            addresses=addresses,
            max_reply_bytes=max_reply_bytes,
            remedy=remedy,
            way_out=way_out,
            pool=transport,
        )

    async def __aenter__(self) -> "ProviderClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.aclose()

    async def send(self, request: PreparedRequest, *, take: Take | None = None) -> Reply:
        """Make one call. Raise a ProviderError for everything but a well-formed reply.

        `take` is awaited with the size of each part of the reply before more is read.
        """
        path = request.endpoint.removeprefix("/v1")
        response, raw = await self._exchange("POST", path, request.content, take=take)
        reply = read_reply(
            request.endpoint,
            status_code=response.status_code,
            headers=self._read_headers(response),
            raw=raw,
            asked=request.content,
        )
        if is_event_stream(raw):
            reply = self._without_key(reply)
        raise_if_broken_off(reply)
        return reply

    async def models(self) -> list[str]:
        """Return the names of the models that the provider lists. Raise a ProviderError."""
        return (await self.look()).models

    async def look(self) -> Look:
        """Return the models and the limits from the provider's list of models.

        Raise a ProviderError.
        """
        response, raw = await self._exchange("GET", "/models", None)
        if response.status_code != 200:
            raise error_of(response.status_code, self._read_headers(response), raw)
        limits = {
            name: self._scrubber.text(value)
            for name, value in response.headers.items()
            if name.startswith(LIMIT_HEADERS)
        }
        try:
            return Look([str(model["id"]) for model in json.loads(raw)["data"]], limits)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise MalformedReply(
                f"HTTP 200: {self._base_url}/models did not return a list of models",
                status_code=response.status_code,
            ) from error

    async def _exchange(
        self, method: str, path: str, content: bytes | None, *, take: Take | None = None
    ) -> tuple[httpx.Response, bytes]:
        try:
            response, raw = await self._transport.exchange(
                method, self._url(path), self._headers, content, take=take
            )
        except ReplyTooLong as error:
            raise MalformedReply(
                f"{error} (MAX_REPLY_BYTES)", status_code=error.status_code
            ) from error
        except TRANSPORT_ERRORS as error:
            raise self._fault_of(error) from error
        if response.status_code >= 300:
            self._check_way(response, raw)
        return response, self._scrubber.raw(raw)

    def _check_way(self, response: httpx.Response, raw: bytes) -> None:
        """Raise EndpointUnusable for an HTTP error that is caused by the network set-up."""
        trouble = trouble_in(
            response.status_code,
            response.headers,
            raw,
            base_url=self._base_url,
            way_out=self._way_out,
        )
        if trouble:
            raise self._unusable(trouble)

    def _unusable(self, trouble: Trouble) -> EndpointUnusable:
        return EndpointUnusable(f"{self._place}: {trouble.text}")

    def _without_key(self, reply: Reply) -> Reply:
        """Return a reply without the key, which a stream of events may contain in pieces."""
        scrub = self._scrubber.text
        body = scrub(reply.body)
        return replace(
            reply,
            body=json.dumps(body) if body == SCRUBBED else body,
            answer=reply.answer and scrub(reply.answer),
            refusal=reply.refusal and scrub(reply.refusal),
            tool_calls=tuple(
                replace(call, arguments=scrub(call.arguments)) for call in reply.tool_calls
            ),
        )

    def _read_headers(self, response: httpx.Response) -> dict[str, str]:
        """Return the headers that are needed, without the key."""
        # In one pass over the raw headers, since each look-up in httpx's headers reads all of them.
        sent = _READ_RAW.keys() & {raw.lower() for raw, _ in response.headers.raw}
        names = [_READ_RAW[raw] for raw in sent]
        return {name: self._scrubber.text(response.headers[name]) for name in names}

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = httpx.URL(self._base_url + path)
        return self._urls[path]

    def _fault_of(self, error: Exception) -> ProviderError:
        """Return the ProviderError of a call without an HTTP response."""
        causes = list(causes_of(error))
        trouble = trouble_of(causes, base_url=self._base_url, way_out=self._way_out)
        if trouble and trouble.of_setup:
            return self._unusable(trouble)
        return self._error_of(causes, trouble)

    def _error_of(self, causes: list[BaseException], trouble: Trouble | None) -> ProviderError:
        """Return the ProviderError of a failed call, from its causes."""
        if any(isinstance(cause, aiohttp.ClientPayloadError) for cause in causes):
            return NetworkError(f"{self._place}: the reply broke off")
        if not trouble and any(isinstance(cause, NOT_HTTP) for cause in causes):
            return _not_http(self._place, causes)
        if any(isinstance(cause, MISCONFIGURED) for cause in causes) or is_forbidden(causes):
            return EndpointUnusable(f"{self._place}: {text_of(causes[-1])}")
        if no_file_left(causes):
            return NoFileLeft(f"{self._place}: too many open files (ulimit -n)")
        is_connected = not any(isinstance(cause, NOT_CONNECTED) for cause in causes)
        if is_connected and any(isinstance(cause, TimeoutError) for cause in causes):
            return DeadlineExceeded(f"{self._place}: {_describe(trouble, causes[-1])}")
        cls = NetworkError if is_connected else Unreachable
        return cls(f"{self._place}: {_describe(trouble, causes[min(1, len(causes) - 1)])}")


def _not_http(place: str, causes: list[BaseException]) -> MalformedReply:
    """Return the error without the text of its cause, since that quotes the reply."""
    if any(isinstance(cause, httpx.DecodingError) for cause in causes):
        return MalformedReply(f"{place}: the reply is not compressed as its headers say")
    return NotAnApi(f"{place}: the reply is not HTTP; {CHECK_ADDRESS}")


def _describe(trouble: Trouble | None, cause: BaseException) -> str:
    return trouble.text if trouble else text_of(cause)
