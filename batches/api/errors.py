"""Errors in the format of the official clients: {"error": {message, type, param, code}}.

ApiError            any error response
NotPossible         409: the state of the object does not allow the request; also FileConflict
FileRefused         400: the upload cannot become a file
PromptRejected      400: the body that all prompts of a batch share is invalid
DRF's APIException  by its status
anything else       500; the reason is in the log under the request ID
"""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.urls import NoReverseMatch, reverse
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from rest_framework import exceptions
from rest_framework.response import Response

from batches.api.fields import shown
from batches.api.request_id import current_request_id
from batches.engine.errors import PromptRejected
from batches.engine.text.wording import dotted
from batches.errors import NotPossible
from batches.files.files import FileConflict, FileRefused
from batches.inputs.explanations import explained

# The name of the URL that all others of the API begin with.
ROOT = "root"

logger = logging.getLogger(__name__)

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "rate_limit_error",
    "server_error",
]

CODES = {
    401: "invalid_api_key",
    405: "method_not_allowed",
    411: "length_required",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
}

# Statuses below 500 that a client should retry with the same request.
WORTH_RETRYING = (408, 429)


class ErrorDetail(BaseModel):
    """An error: `param` names the parameter at fault, `code` is for programs."""

    message: str = shown("No such batch: 'batch_0'.")
    type: str = shown("invalid_request_error")
    param: str | None = shown("id")
    code: str | None = shown("not_found")


class ErrorEnvelope(BaseModel):
    """The body of every error response."""

    error: ErrorDetail


class ApiError(Exception):
    """An error response; the message names the problem and the next step."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: ErrorType = "invalid_request_error",  # noqa: A002 - the contract's word
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.type = type
        self.headers = dict(headers or {})


def envelope(error: ApiError) -> dict[str, Any]:
    """Return the body of an error; it always has all four keys."""
    return {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def headers_of(error: ApiError) -> dict[str, str]:
    """Return the headers of an error. Without x-should-retry, official clients retry a 409."""
    if error.status >= 500 or error.status in WORTH_RETRYING:
        return error.headers
    return {**error.headers, "x-should-retry": "false"}


def exception_handler(exc: Exception, _context: Mapping[str, Any]) -> Response:
    """Return the response for an exception of a view (DRF's EXCEPTION_HANDLER)."""
    error = as_api_error(exc)
    return Response(envelope(error), status=error.status, headers=headers_of(error))


def error_response(error: ApiError) -> JsonResponse:
    """Return the response for an error outside of DRF's views."""
    return JsonResponse(envelope(error), status=error.status, headers=headers_of(error))


def as_api_error(exc: Exception) -> ApiError:
    """Convert an exception to the error that the client sees; log internal details."""
    if isinstance(exc, ApiError):
        return exc
    if isinstance(exc, NotPossible | FileConflict):
        return ApiError(409, str(exc))
    if isinstance(exc, FileRefused | PromptRejected):
        code = exc.code if isinstance(exc, PromptRejected) else "invalid_value"
        return ApiError(400, str(exc), code=code, param=exc.param)
    if isinstance(exc, Http404):
        return ApiError(404, str(exc) or "There is nothing here.", code="not_found")
    if isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if isinstance(exc, exceptions.APIException):
        return _from_drf(exc)
    return _from_request(exc) or _unexpected(exc)


def refused(error: ValidationError, *, names: Iterable[str] = ()) -> ApiError:
    """Return the 400 for input that does not fit its model; `names` are the known parameters."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not valid JSON: {first['msg']}.", code="invalid_json")
    param = dotted(_location(first)) or "body"
    code, message = explained(first, param, names if len(first["loc"]) == 1 else ())
    return ApiError(400, message, code=code, param=param)


def not_found(kind: str, public_id: str) -> ApiError:
    """Return the 404 for an unknown ID. The message is the same if another user owns the object."""
    return ApiError(404, f"No such {kind}: {public_id!r}.", param="id", code="not_found")


def no_such_path(path: str) -> ApiError:
    hint = "; there is no slash at the end of a path here" if path.endswith("/") else ""
    return ApiError(404, f"There is nothing at {path}{hint}.", code="unknown_url")


def api_root() -> str | None:
    """Return the path that all paths of the API begin with, such as /v1/; None without an API."""
    try:
        return reverse(f"batches_api:{ROOT}")
    except NoReverseMatch:
        return None


def is_ours(path: str) -> bool:
    """Return True if a path belongs to the API, whose errors are envelopes."""
    root = api_root()
    return root is not None and f"{path}/".startswith(root)


def _from_drf(exc: exceptions.APIException) -> ApiError:
    status = exc.status_code
    kind: ErrorType = "invalid_request_error"
    headers: dict[str, str] = {}
    if status == 401:
        kind = "authentication_error"
        headers["WWW-Authenticate"] = getattr(exc, "auth_header", "Bearer")
    elif status == 403:
        kind = "permission_error"
    elif isinstance(exc, exceptions.Throttled):
        kind = "rate_limit_error"
        # Not 0: the official client treats 0 like a missing header.
        headers["Retry-After"] = str(math.ceil(getattr(exc, "wait", None) or 1))
    elif status >= 500:
        kind = "server_error"
    return ApiError(status, _text(exc.detail), type=kind, code=CODES.get(status), headers=headers)


def _text(detail: Any) -> str:
    """Return the first text of DRF's detail, which may be nested in lists and dictionaries."""
    while isinstance(detail, list | dict) and detail:
        detail = detail[0] if isinstance(detail, list) else next(iter(detail.values()))
    return str(detail)


def _from_request(exc: Exception) -> ApiError | None:
    """Return the error for a request that Django refuses while reading it."""
    if isinstance(exc, RequestDataTooBig):
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        message = f"The body is too large: at most {most} bytes are taken. Upload a file instead."
        return ApiError(413, message, code="too_large")
    if isinstance(exc, SuspiciousOperation | MultiPartParserError):
        return ApiError(400, "The request cannot be understood.")
    return None


def _unexpected(exc: Exception) -> ApiError:
    logger.error("Request %s failed", current_request_id(), exc_info=exc)
    if isinstance(exc, OperationalError):
        return ApiError(503, "The database does not answer; try again.", type="server_error")
    return server_error()


def server_error() -> ApiError:
    """Return the 500 for an error inside the server; its reason is in the log."""
    message = f"The server failed on this request; its id is {current_request_id()}."
    return ApiError(500, message, type="server_error")


def _location(first: ErrorDetails) -> tuple[str | int, ...]:
    """Return the location without the names that pydantic gives to members of a union."""
    return tuple(part for part in first["loc"] if isinstance(part, int) or "[" not in part)
