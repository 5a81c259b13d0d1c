"""Entry points for config/asgi.py and config/wsgi.py, with checks that Django leaves to servers."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponseBase
from django.utils.http import parse_header_parameters

from batches.api.errors import ApiError, error_response, is_ours
from batches.api.request_id import HEADER, new_request_id

UNREADABLE = "application/x-unreadable"

Header = tuple[bytes, bytes]


class InUtf8(HttpRequest):
    """A request that is read as UTF-8. A client may name a charset that is not a text encoding,
    and Django would fail on it before it can send a response."""

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        line = meta.get("CONTENT_TYPE", "")
        try:
            self.content_type, self.content_params = parse_header_parameters(line)
        except (ValueError, LookupError):
            # A parameter in a charset of its own (RFC 2231).
            self.content_type, self.content_params = UNREADABLE, {}


class AsgiRequest(InUtf8, ASGIRequest):
    """A request over ASGI."""


class WsgiRequest(InUtf8, WSGIRequest):
    """A request over WSGI."""


class WsgiHandler(WSGIHandler):
    """The entry point for WSGI servers."""

    request_class = WsgiRequest


class Handler(ASGIHandler):
    """Accept chunked bodies like others, and answer errors of the API in its envelope."""

    request_class = AsgiRequest

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        headers = scope["headers"]
        if any(name == b"transfer-encoding" for name, _ in headers):
            # Django treats a form without an announced length as empty.
            scope = {**scope, "headers": _with_length(headers, _size_of(body_file))}
        made = super().create_request(scope, body_file)
        if made[1] is None or not is_ours(scope["path"]):
            return made
        return None, _in_envelope(made[1])


def _with_length(headers: Iterable[Header], size: int) -> list[Header]:
    kept = [header for header in headers if header[0] != b"content-length"]
    return [*kept, (b"content-length", str(size).encode())]


def _size_of(body_file: IO[bytes]) -> int:
    size = body_file.seek(0, 2)
    body_file.seek(0)
    return size


def _in_envelope(refusal: HttpResponseBase) -> HttpResponseBase:
    """Return the envelope for a request that Django cannot build, such as a URL not in UTF-8."""
    response = error_response(ApiError(refusal.status_code, "The request cannot be understood."))
    response[HEADER] = new_request_id()
    return response
