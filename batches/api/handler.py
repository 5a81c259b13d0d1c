"""Django's way in, for what Django leaves to the web server: config/asgi.py puts it to use."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponseBase

Header = tuple[bytes, bytes]


class Handler(ASGIHandler):
    """Takes bodies that come in chunks as it takes others."""

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        headers = scope["headers"]
        if any(name == b"transfer-encoding" for name, _ in headers):
            # Django takes a form whose length nobody announced for an empty one.
            scope = {**scope, "headers": _with_length(headers, _size_of(body_file))}
        return super().create_request(scope, body_file)


def _with_length(headers: Iterable[Header], size: int) -> list[Header]:
    kept = [header for header in headers if header[0] != b"content-length"]
    return [*kept, (b"content-length", str(size).encode())]


def _size_of(body_file: IO[bytes]) -> int:
    size = body_file.seek(0, 2)
    body_file.seek(0)
    return size
