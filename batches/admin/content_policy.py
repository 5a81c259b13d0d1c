"""Content security policy of the admin: pages may load and run only what this server sends.

The admin shows text that models wrote. It is escaped; if it were not, it still could not run as a
script, load anything, or send anything away.
"""

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware

POLICY = "; ".join(
    (
        "default-src 'none'",
        # Alpine, which the admin's theme uses, evaluates its attributes.
        "script-src 'self' 'unsafe-eval'",
        # Colours and widths are in style attributes.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def content_policy(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:
    """Set the policy on each page of the admin, and forbid browsers and proxies to cache it."""

    async def answer_async(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await get_response(request)  # type: ignore[misc]  # async here
        return _marked(request, response)

    def answer(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = get_response(request)  # type: ignore[assignment]  # sync here
        return _marked(request, response)

    return answer_async if iscoroutinefunction(get_response) else answer


def _marked(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if request.path.startswith(reverse("admin:index")):
        response.headers["Content-Security-Policy"] = POLICY
        response.headers.setdefault("Cache-Control", "no-store")
    return response
