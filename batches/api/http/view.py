"""Common code of all views: token, JSON bodies, and access to the user's own rows only."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar, cast

from django.contrib.auth.models import User
from django.db.models import Model, QuerySet
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from batches.api.errors import CODES, ApiError, not_found, refused
from batches.api.http.authentication import TokenAuthentication
from batches.api.http.streaming import let_go
from batches.engine.text.sendable import Fault, fault_of
from batches.engine.text.wording import described
from batches.inputs.request_lines import TwinName, no_twins

B = TypeVar("B", bound=BaseModel)
M = TypeVar("M", bound=Model)

NUL = "\0"
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


def owner_of(request: Request) -> User:
    """Return the user of an authenticated request."""
    return cast(User, request.user)


def for_user(queryset: QuerySet[M], user: User) -> QuerySet[M]:
    """Return the rows that a user may see: all rows for staff, else the user's own."""
    return queryset if user.is_staff else queryset.filter(owner=user)


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
    _check_storable(body, any_text=getattr(model, "any_text", frozenset()))
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise refused(error, names=model.model_fields) from error


def reply(answer: BaseModel) -> Response:
    return Response(answer.model_dump(mode="json"))


def _check_storable(body: bytes, *, any_text: frozenset[str]) -> None:
    """Raise ApiError for NaN and NUL, which JSON can contain and databases cannot store."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        fault = _fault_of_text(body)
        message = str(fault) if fault else f"The body is not valid JSON: {error}."
        place = (fault.place or None) if fault else None
        raise ApiError(400, message, code="invalid_json", param=place) from error
    if not isinstance(value, dict):
        message = f"The body must be a JSON object, but it is {described(value)}."
        raise ApiError(400, message, code="invalid_json")
    _check_no_twins(body)
    # Search for the escape first, since walking through a large body is slow.
    if b"\\u0000" in body:
        stored = {name: inner for name, inner in value.items() if name not in any_text}
        if fault := fault_of(stored, "", allow_nul=False):
            raise ApiError(400, str(fault), code="invalid_value", param=fault.place or None)


def _fault_of_text(body: bytes) -> Fault | None:
    """Return the fault in a body that only a less strict JSON parser can read."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return fault_of(value, "") if isinstance(value, dict) else None


def _check_no_twins(body: bytes) -> None:
    try:
        # Only names are checked here, so numbers stay unparsed.
        json.loads(body, object_pairs_hook=no_twins, parse_int=str, parse_float=str)
    except TwinName as error:
        raise ApiError(400, str(error), code="invalid_json", param=error.name) from error
