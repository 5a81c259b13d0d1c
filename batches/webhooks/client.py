"""Send one event to one receiver with a POST, and return the result.

A user chose the receiver's URL, so it is not trusted: its address must be public, and its answer
must arrive within ten seconds and be short. Only the status of the answer is used.
"""

import asyncio
import re
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx

from batches.net.addresses import HOST_PATTERN, AddressPolicy, without_addresses
from batches.net.transport import (
    NOT_HTTP,
    TRANSPORT_ERRORS,
    ReplyTooLong,
    Transport,
    causes_of,
    is_forbidden,
    text_of,
)

DEADLINE_S = 10.0
MAX_REPLY_BYTES = 64 * 1024
MAX_ERROR_CHARS = 500
FORBIDDEN = (
    "its host leads to an address that is not public; use a public one, or ask staff to allow this "
    "host with the setting WEBHOOK_PRIVATE_HOSTS"
)

_URL = re.compile(
    rf"(?P<scheme>https?)://{HOST_PATTERN}(?::(?P<port>\d{{1,5}}))?"
    r"(?:[/?](?:[\w.~/?!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ReceiverReply:
    """The result of a POST: the status of the answer, or the reason why there is none.

    `error` is for the user who chose the URL, and hides addresses of our network; `detail`, for
    staff, includes them.
    """

    status_code: int | None = None
    error: str = ""
    detail: str = ""

    @property
    def accepted(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300


def check_webhook_url(text: str, addresses: AddressPolicy) -> None:
    """Raise ValueError, with the reason, for a URL that may not receive events."""
    match = _URL.fullmatch(text)
    if not match or int(match["port"] or 0) > 65535:
        raise ValueError("give a URL such as https://example.com/hook, without user or fragment")
    try:
        host = httpx.URL(text).host
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ValueError(f"this is not a valid URL: {error}") from error
    if addresses.refuses(host):
        raise ValueError(
            f"{host} is not a public address; the setting WEBHOOK_PRIVATE_HOSTS allows it"
        )
    if match["scheme"] == "http" and not addresses.lists(host):
        raise ValueError("the URL must begin with https://")


def post(
    url: str, *, headers: Mapping[str, str], content: bytes, addresses: AddressPolicy
) -> ReceiverReply:
    """Send a POST to a receiver. Never raise an error; take at most ten seconds."""
    try:
        check_webhook_url(url, addresses)
    except ValueError as error:
        # A URL that was allowed when the endpoint was created may be forbidden now.
        return ReceiverReply(error=str(error))
    return _run(_post(url, headers, content, addresses))


async def _post(
    url: str, headers: Mapping[str, str], content: bytes, addresses: AddressPolicy
) -> ReceiverReply:
    transport = Transport(
        url,
        connections=1,
        addresses=addresses,
        max_reply_bytes=MAX_REPLY_BYTES,
        remedy="set WEBHOOK_PRIVATE_HOSTS={address}",
    )
    fields = httpx.Headers({"User-Agent": "threephase", "Accept-Encoding": "identity", **headers})
    try:
        async with asyncio.timeout(DEADLINE_S):
            response, _ = await transport.exchange("POST", httpx.URL(url), fields, content)
    except ReplyTooLong as error:
        return ReceiverReply(error.status_code)
    except TRANSPORT_ERRORS as error:
        reason = _reason(error)
        return ReceiverReply(
            error=_for_user(error, reason)[:MAX_ERROR_CHARS], detail=reason[:MAX_ERROR_CHARS]
        )
    finally:
        await transport.aclose()
    return ReceiverReply(response.status_code)


def _reason(error: Exception) -> str:
    causes = list(causes_of(error))
    if isinstance(error, TimeoutError):
        return f"no answer within {DEADLINE_S:g} s"
    if any(isinstance(cause, aiohttp.ClientPayloadError) for cause in causes):
        return "the answer broke off"
    if any(isinstance(cause, NOT_HTTP) for cause in causes):
        # Omit the text of the cause, since it quotes the answer.
        return "the answer is not HTTP"
    return text_of(causes[-1 if is_forbidden(causes) else min(1, len(causes) - 1)])


def _for_user(error: Exception, reason: str) -> str:
    return FORBIDDEN if is_forbidden(list(causes_of(error))) else without_addresses(reason)


def _run(work: Coroutine[Any, Any, ReceiverReply]) -> ReceiverReply:
    """Run a coroutine in a new event loop.

    Unlike asyncio.run, do not wait for a thread whose name server hangs.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        if rest:
            loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.close()
