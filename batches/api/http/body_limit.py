"""What a client may send, before any of it is kept.

Django writes a body to the disk to its end before a view is asked. So the size of a body, and
whether a stranger sends a large one, is looked at here: config/asgi.py puts it before Django.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import connection
from django.http import parse_cookie

from batches.api.errors import ApiError, as_api_error, envelope, headers_of
from batches.api.http.authentication import user_of_header
from batches.api.http.multipart import too_large
from batches.api.request_id import HEADER, new_request_id

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

# Boundaries, names and fields around a file.
FORM_BYTES = 64 * 1024
# Less than this is let in from anybody.
SMALL_BYTES = 1024 * 1024

# How a handshake is answered by more than a number, by servers that can.
WEBSOCKET_ANSWER = "websocket.http.response"

DISCONNECT = {"type": "http.disconnect"}


class BodyLimit:
    """Refuses bodies that are too large with 413, and large ones of strangers with 401 or 403."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _refuse_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = Body(receive, _limit_of(scope["path"]))
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        body.expect(_length_of(headers))
        if not body.small and body.refusal is None:
            body.refusal = await _stranger(scope["path"], headers)
        if body.refusal is None:
            await self._app(scope, body.receive, send)
        if body.refusal is not None:
            await body.discard()
            await _answer(body.refusal, send)


@dataclass(frozen=True, slots=True)
class Limit:
    """How much a request may bring; for a form, of its file."""

    bytes: int
    name: str
    form: bool = True

    @property
    def of_body(self) -> int:
        return self.bytes + FORM_BYTES if self.form else self.bytes


@dataclass
class Body:
    """The body of a request as it comes in."""

    source: Receive
    limit: Limit
    refusal: ApiError | None = None
    small: bool = True
    ended: bool = False
    read: int = 0

    def expect(self, length: int | None) -> None:
        """Be told of the length; a body in chunks, whose length nobody knows, may be large."""
        self.small = length is not None and length <= SMALL_BYTES
        self._check(length or 0)

    async def receive(self) -> Message:
        """The next message; once there was too much, that the client has gone."""
        message = await self._next()
        self._check(self.read)
        return message if self.refusal is None else DISCONNECT

    async def discard(self) -> None:
        """Read on and keep nothing: who is still sending would never read the answer.

        Not without end, though: a client that sends twice what it may is hung up on.
        """
        while not self.ended and self.read < 2 * self.limit.of_body:
            await self._next()

    async def _next(self) -> Message:
        message = await self.source()
        self.read += len(message.get("body", b""))
        self.ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self.limit.of_body and self.refusal is None:
            self.refusal = too_large(self.limit.bytes, self.limit.name)


def _length_of(headers: Mapping[bytes, str]) -> int | None:
    """How long the body will be; None if it comes in chunks."""
    length = headers.get(b"content-length", "")
    if length.isascii() and length.isdigit():
        return int(length)
    return None if b"transfer-encoding" in headers else 0


def _limit_of(path: str) -> Limit:
    if path == "/v1/files" or not path.startswith("/v1/"):
        return Limit(settings.MAX_FILE_BYTES, "MAX_FILE_BYTES")
    if path.startswith("/v1/uploads/") and path.endswith("/parts"):
        return Limit(settings.MAX_PART_BYTES, "MAX_PART_BYTES")
    return Limit(settings.DATA_UPLOAD_MAX_MEMORY_SIZE, "upload a file instead", form=False)


async def _stranger(path: str, headers: Mapping[bytes, str]) -> ApiError | None:
    """The refusal of who has no good token or, where people log in, no session."""
    check = _check_token if path.startswith("/v1/") else _check_session
    async with ThreadSensitiveContext():
        return await sync_to_async(_refusal_by)(check, headers)


def _refusal_by(
    check: Callable[[Mapping[bytes, str]], None], headers: Mapping[bytes, str]
) -> ApiError | None:
    try:
        check(headers)
    except Exception as error:
        return as_api_error(error)
    finally:
        connection.close()
    return None


def _check_token(headers: Mapping[bytes, str]) -> None:
    user_of_header(headers.get(b"authorization", ""))


def _check_session(headers: Mapping[bytes, str]) -> None:
    """Whether somebody is logged in. What they may do is for the view to say."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    key = parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME)
    if not key or SESSION_KEY not in store(key):
        raise ApiError(403, "Log in to send so much.", type="permission_error")


async def _refuse_websocket(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    if WEBSOCKET_ANSWER in scope.get("extensions", {}):
        refusal = ApiError(400, "There are no websockets here; .../events is a stream over HTTP.")
        await _answer(refusal, send, kind=WEBSOCKET_ANSWER)
    else:
        await send({"type": "websocket.close"})


async def _answer(refusal: ApiError, send: Send, *, kind: str = "http.response") -> None:
    body = json.dumps(envelope(refusal)).encode()
    headers = {
        **headers_of(refusal),
        HEADER: new_request_id(),
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": pairs})
    await send({"type": f"{kind}.body", "body": body})
