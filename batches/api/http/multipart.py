"""Forms with a file, streamed to the disk with checks of the size and of a truncated end."""

from collections import deque
from collections.abc import Mapping
from typing import IO, Any, ClassVar

from django.core.files.base import File as Bytes
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http.multipartparser import MultiPartParserError
from django.utils.http import parse_header_parameters
from rest_framework.parsers import DataAndFiles, MultiPartParser
from rest_framework.request import Request

from batches.api.errors import ApiError
from batches.conf import conf

# More than the longest boundary, which has 70 characters.
TAIL_BYTES = 100


class CappedFile(TemporaryFileUploadHandler):
    """Write the file of a form to the disk, and refuse it once it is too large."""

    def __init__(self, request: Any, *, most: int, setting: str) -> None:
        super().__init__(request)
        self._most = most
        self._setting = setting

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > self._most:
            # Close, and so delete, the incomplete file: Django does not.
            self.file.close()
            raise too_large(self._most, self._setting)
        super().receive_data_chunk(raw_data, start)


class CappedForm(MultiPartParser):
    """A parser of forms; a subclass names the setting with the largest size of a file."""

    setting: ClassVar[str]

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> "DataAndFiles[Any, Any]":
        context = parser_context or {}
        request: Request = context["request"]
        most: int = getattr(conf(), self.setting)
        handler = CappedFile(request._request, most=most, setting=self.setting)
        request._request.upload_handlers = [handler]
        watched = WatchedStream(stream)
        try:
            form = super().parse(watched, media_type, parser_context)  # type: ignore[arg-type]  # read() is all it needs
        except (ValueError, LookupError) as error:
            # A name in a charset of its own (RFC 2231).
            raise ApiError(400, f"The form cannot be read: {error}") from error
        # Django accepts a truncated form as one with a shorter file.
        if not watched.end.rstrip().endswith(_last_line(request.content_type)):
            _close(form)
            raise ApiError(400, "The form breaks off before its end.")
        return form


class FileForm(CappedForm):
    """A form with a file."""

    setting = "MAX_FILE_BYTES"


class PartForm(CappedForm):
    """A form with a part of a file."""

    setting = "MAX_PART_BYTES"


class WatchedStream:
    """A stream that remembers the last bytes it has read."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream
        self._last: deque[bytes] = deque(maxlen=2)

    @property
    def end(self) -> bytes:
        return b"".join(self._last)

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        if data:
            self._last.append(data[-TAIL_BYTES:])
        return data


def form_of(request: Request, *, file: str) -> "tuple[dict[str, str], Bytes[bytes]]":
    """Return the fields of a form and its file. Raise ApiError, also for a duplicate field."""
    fields, files = _parsed(request)
    if file not in files:
        message = f"Missing required parameter: '{file}'."
        raise ApiError(400, message, code="missing_required_parameter", param=file)
    for name in files:
        if name != file or name in fields or len(files.getlist(name)) > 1:
            raise ApiError(
                400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name
            )
    return {name: _only(fields, name) for name in fields}, files[file]


def too_large(most: int, name: str) -> ApiError:
    return ApiError(
        413,
        f"The request is too large. At most {most} bytes are taken at once ({name}).",
        code="too_large",
    )


def _parsed(request: Request) -> tuple[Any, Any]:
    try:
        # The files are closed, and so deleted, with the request.
        return request.POST, request.FILES
    except MultiPartParserError as error:
        raise ApiError(400, f"The form cannot be read: {error}") from error


def _only(fields: Any, name: str) -> str:
    values = fields.getlist(name)
    if len(values) > 1:
        raise ApiError(
            400,
            f"The parameter '{name}' was given {len(values)} times. Give it once.",
            code="invalid_value",
            param=name,
        )
    text: str = values[0]
    return text


def _last_line(content_type: str) -> bytes:
    boundary: str = parse_header_parameters(content_type)[1].get("boundary", "")
    return f"--{boundary}--".encode()


def _close(form: "DataAndFiles[Any, Any]") -> None:
    for _, files in form.files.lists():
        for file in files:
            file.close()
