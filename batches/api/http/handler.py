"""Django's ways in, for what Django leaves to web servers: config/asgi.py and config/wsgi.py use
them."""

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
    """A request that is read as UTF-8: a charset that a client names may be none of texts, and
    Django would fail over it before there is anybody to answer."""

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
    """The way in for WSGI servers."""

    request_class = WsgiRequest


class Handler(ASGIHandler):
    """Takes bodies that come in chunks as it takes others, and speaks the API's language."""

    request_class = AsgiRequest

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        headers = scope["headers"]
        if any(name == b"transfer-encoding" for name, _ in headers):
            # Django takes a form whose length nobody announced for an empty one.
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
    """What Django refuses before there is a request, such as an address that is no UTF-8."""
    response = error_response(ApiError(refusal.status_code, "The request cannot be understood."))
    response[HEADER] = new_request_id()
    return response
