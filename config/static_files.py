"""Serve the styles and scripts of the admin with WhiteNoise, called only for these paths.

As an ordinary middleware, WhiteNoise would pass every request of the API through another thread.
"""

from collections.abc import Awaitable, Callable
from functools import cache

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from whitenoise.middleware import WhiteNoiseMiddleware

Handler = Callable[[HttpRequest], HttpResponseBase]
AsyncHandler = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def static_files(get_response: Handler | AsyncHandler) -> Handler | AsyncHandler:
    """Serve paths under STATIC_URL; pass on all other requests."""
    whitenoise = _whitenoise()

    async def answer_async(request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(settings.STATIC_URL):
            return await sync_to_async(lambda: _whole(whitenoise(request)))()
        response: HttpResponseBase = await get_response(request)  # type: ignore[misc]  # async here
        return response

    def answer(request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(settings.STATIC_URL):
            return _whole(whitenoise(request))
        return get_response(request)  # type: ignore[return-value]  # sync here

    return answer_async if iscoroutinefunction(get_response) else answer


@cache
def _whitenoise() -> WhiteNoiseMiddleware:
    # Once in a process, since it reads all static files: each test client makes a handler.
    return WhiteNoiseMiddleware(_not_found)


def _not_found(_request: HttpRequest) -> HttpResponseBase:
    return HttpResponseNotFound("File not found.", content_type="text/plain")


def _whole(response: HttpResponseBase) -> HttpResponseBase:
    """Return the response unstreamed: the files are small and are read synchronously."""
    if not isinstance(response, StreamingHttpResponse):
        return response
    content = b"".join(response.streaming_content)  # type: ignore[arg-type]  # sync here
    response.close()
    return HttpResponse(content, status=response.status_code, headers=dict(response.headers))
