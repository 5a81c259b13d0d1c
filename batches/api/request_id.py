"""Request IDs: each response has one, and so have the log entries of its request."""

import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from batches.conf import conf

HEADER = "x-request-id"

_current: ContextVar[str] = ContextVar("request_id", default="-")

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def current_request_id() -> str:
    """Return the ID of the current request, for messages and logs."""
    return _current.get()


@sync_and_async_middleware
def request_id(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:
    """Give each request a new ID; an ID sent by the client is ignored, as it may be hostile."""
    # A server with wrong settings must not start, and it runs no checks.
    conf()

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
    """Create the ID of a new request and make it the current one."""
    name = f"req_{uuid.uuid4().hex}"
    _current.set(name)
    return name
