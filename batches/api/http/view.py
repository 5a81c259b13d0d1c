"""Common code of all views: token, JSON bodies, and access to the user's own rows only."""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model, QuerySet
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from batches.api.errors import CODES, ApiError, exception_handler, not_found, refused
from batches.api.http.authentication import TokenAuthentication
from batches.api.http.streaming import let_go
from batches.engine.text.sendable import fault_of, text_fault
from batches.engine.text.wording import described
from batches.inputs.request_lines import TwinName, no_twins, reason_of
from batches.users import User, is_staff

B = TypeVar("B", bound=BaseModel)
M = TypeVar("M", bound=Model)
F = TypeVar("F", bound=Callable[..., Any])

NUL = "\0"
NUL_ESCAPE = b"\\u0000"
TOO_DEEP = "The body is nested too deeply: its values may have at most 100 levels."
# The names of UTF-8 and of its subset ASCII.
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class RequestModel(BaseModel):
    """A JSON body without unknown fields, NaN and infinities."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    # Fields that are stored as JSON text, in which a NUL is escaped.
    any_text: ClassVar[frozenset[str]] = frozenset()


class OurFormat(BaseContentNegotiation):
    """Always answer in JSON: the official clients also accept only `application/binary`."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        kind = request.content_type.partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == kind), None)

    def select_renderer(
        self, _request: Request, renderers: Iterable[BaseRenderer], _suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class ApiView(APIView):
    """A view of the API."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (TokenAuthentication,)
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated,)
    renderer_classes = (JSONRenderer,)
    parser_classes: Sequence[type[BaseParser]] = (JSONParser,)
    content_negotiation_class = OurFormat
    metadata_class = None
    # Whatever the project's other views have.
    schema = AutoSchema()

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Return our own handler: the project's is for its other views."""
        return exception_handler

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        charset = request._request.content_params.get("charset", "utf-8")  # type: ignore[union-attr]  # set before
        if charset.strip().lower() not in CHARSETS:
            message = f"A body must be in UTF-8, not in {charset!r}."
            raise ApiError(415, message, code=CODES[415])
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            # A WSGI server does not pass on a chunked body.
            message = "Send the length of the body (Content-Length), not chunks."
            raise ApiError(411, message, code=CODES[411])

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        let_go()
        return super().finalize_response(request, response, *args, **kwargs)

    def options(self, *_args: Any, **_kwargs: Any) -> Response:
        """Return the allowed methods."""
        return Response(status=204, headers={"Allow": ", ".join(self.allowed_methods)})


def documented(**options: Any) -> Callable[[F], F]:
    """Describe a view or one of its methods, with the options of drf-spectacular's `extend_schema`.

    That begins with the schema class of the project, which may be another library's.
    """

    def with_description(view: F) -> F:
        if not inspect.isclass(view):
            view.schema = AutoSchema  # type: ignore[attr-defined]  # read by extend_schema
        return extend_schema(**options)(view)

    return with_description


def owner_of(request: Request) -> User:
    """Return the user of an authenticated request."""
    return cast(User, request.user)


def for_user(queryset: QuerySet[M], user: User) -> QuerySet[M]:
    """Return the rows that a user may see: all rows for staff, else the user's own."""
    return queryset if is_staff(user) else queryset.filter(owner=user)


def find(queryset: QuerySet[M], request: Request, public_id: str, *, kind: str) -> M:
    """Return the row with this ID, if the user may see it. Raise ApiError 404, never 403."""
    found = None
    if NUL not in public_id:
        found = for_user(queryset, owner_of(request)).filter(public_id=public_id).first()
    if found is None:
        raise not_found(kind, public_id)
    return found


def parse_body(request: Request, model: type[B]) -> B:
    """Return the JSON body of a request as its model; a missing body is {}. Raise ApiError."""
    body = request._request.body
    if not body:
        body = b"{}"
    elif request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(request.content_type or "no type")
    value = _parsed_object(body)
    # Search for the escape first, since walking through a large body is slow.
    if NUL_ESCAPE in body:
        _check_storable(value, any_text=getattr(model, "any_text", frozenset()))
    try:
        return model.model_validate(value, strict=True)
    except ValidationError as error:
        raise refused(error, names=model.model_fields) from error


def reply(answer: BaseModel) -> Response:
    return Response(answer.model_dump(mode="json"))


def _parsed_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, with values that can be sent. Raise ApiError."""
    constants: list[str] = []

    def noted(name: str) -> float:
        constants.append(name)
        return float(name)

    try:
        value = json.loads(body.decode(), object_pairs_hook=no_twins, parse_constant=noted)
    except TwinName as error:
        raise _invalid(str(error), "" if text_fault(error.name) else error.name) from error
    except RecursionError as error:
        raise _invalid(TOO_DEEP) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _invalid(f"The body is not valid JSON: {error}.") from error
    except ValueError as error:
        raise _invalid(reason_of(error)) from error
    if not isinstance(value, dict):
        raise _invalid(f"The body must be a JSON object, but it is {described(value)}.")
    if constants or not _is_sendable(value):
        fault = fault_of(value, "")
        raise _invalid(str(fault), fault.place) if fault else _invalid(TOO_DEEP)
    return value


def _is_sendable(value: Any) -> bool:
    """Return True if a value has no half of a surrogate pair, and less than 255 levels."""
    try:
        to_json(value)
    except ValueError:
        return False
    return True


def _invalid(message: str, place: str = "") -> ApiError:
    return ApiError(400, message, code="invalid_json", param=place or None)


def _check_storable(value: Mapping[str, Any], *, any_text: frozenset[str]) -> None:
    """Raise ApiError for NUL, which JSON can contain and databases cannot store."""
    stored = {name: inner for name, inner in value.items() if name not in any_text}
    if fault := fault_of(stored, "", allow_nul=False):
        raise ApiError(400, str(fault), code="invalid_value", param=fault.place or None)
