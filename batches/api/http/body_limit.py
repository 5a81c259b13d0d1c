"""Limits on request bodies, checked before any of a body is stored.

Django writes a whole body to the disk before it calls a view. So the size of a body, and the login
of a client that sends a large one, are checked here: config/asgi.py puts BodyLimit before Django.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.http import parse_cookie

from batches.api.errors import ApiError, api_root, as_api_error, envelope, headers_of, is_ours
from batches.api.http.authentication import user_of_header
from batches.api.http.multipart import too_large
from batches.api.request_id import HEADER, new_request_id
from batches.conf import conf
from batches.database import connection

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

# Room for the boundaries, names and fields around a file.
FORM_BYTES = 64 * 1024
# Smaller bodies are accepted without a login.
SMALL_BYTES = 1024 * 1024

# The ASGI extension that lets a server answer a handshake with a whole response.
WEBSOCKET_ANSWER = "websocket.http.response"

DISCONNECT = {"type": "http.disconnect"}


class BodyLimit:
    """Refuse too large bodies with 413, and large bodies without a login with 401 or 403."""

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
class SizeLimit:
    """The largest body of a request; for a form, the largest file."""

    bytes: int
    name: str
    form: bool = True

    @property
    def of_body(self) -> int:
        return self.bytes + FORM_BYTES if self.form else self.bytes


@dataclass
class Body:
    """The body of a request while it is received."""

    source: Receive
    limit: SizeLimit
    refusal: ApiError | None = None
    small: bool = True
    ended: bool = False
    read: int = 0

    def expect(self, length: int | None) -> None:
        """Set the announced length. A chunked body has none (None), and counts as large."""
        self.small = length is not None and length <= SMALL_BYTES
        self._check(length or 0)

    async def receive(self) -> Message:
        """Return the next message, or a disconnect once the body is too large."""
        message = await self._next()
        self._check(self.read)
        return message if self.refusal is None else DISCONNECT

    async def discard(self) -> None:
        """Read and drop the rest of the body: a client that is still sending reads no response.

        Stop after twice the limit, so that an endless body is cut off.
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
    """Return the announced length of the body; None if it is chunked."""
    length = headers.get(b"content-length", "")
    if length.isascii() and length.isdigit():
        return int(length)
    return None if b"transfer-encoding" in headers else 0


def _limit_of(path: str) -> SizeLimit:
    root = api_root()
    if root is None or path == f"{root}files" or not path.startswith(root):
        return SizeLimit(conf().MAX_FILE_BYTES, "MAX_FILE_BYTES")
    if path.startswith(f"{root}uploads/") and path.endswith("/parts"):
        return SizeLimit(conf().MAX_PART_BYTES, "MAX_PART_BYTES")
    return SizeLimit(settings.DATA_UPLOAD_MAX_MEMORY_SIZE, "upload a file instead", form=False)


async def _stranger(path: str, headers: Mapping[bytes, str]) -> ApiError | None:
    """Return the 401 or 403 for a request without a valid token (API) or session (admin)."""
    check = _check_token if is_ours(path) else _check_session
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
    """Raise ApiError unless a user is logged in. The view checks the user's permissions."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    key = parse_cookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME)
    if not key or SESSION_KEY not in store(key):
        raise ApiError(403, "Log in to send a body of this size.", type="permission_error")


async def _refuse_websocket(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    if WEBSOCKET_ANSWER in scope.get("extensions", {}):
        message = "WebSockets are not supported. Use the HTTP stream at .../events instead."
        refusal = ApiError(400, message)
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
