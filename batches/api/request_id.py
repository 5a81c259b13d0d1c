"""Every answer carries an id, and so does what is logged of its request."""

import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

HEADER = "x-request-id"

_current: ContextVar[str] = ContextVar("request_id", default="-")

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def current_request_id() -> str:
    """The id of the request that is being answered, for messages and logs."""
    return _current.get()


@sync_and_async_middleware
def request_id(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:
    """Give each request an id of our own: one that a client sent could be anything."""

    async def answer_async(request: HttpRequest) -> HttpResponseBase:
        name = new_request_id()
        response: HttpResponseBase = await get_response(request)  # type: ignore[misc]  # async here
        response[HEADER] = name
        return response

    def answer(request: HttpRequest) -> HttpResponseBase:
        name = new_request_id()
        response: HttpResponseBase = get_response(request)  # type: ignore[assignment]  # sync here
        response[HEADER] = name
        return response

    return answer_async if iscoroutinefunction(get_response) else answer


def new_request_id() -> str:
    """Begin a request."""
    name = f"req_{uuid.uuid4().hex}"
    _current.set(name)
    return name
