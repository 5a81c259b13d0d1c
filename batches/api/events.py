"""/v1/batches/{id}/events: the progress of a batch as server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Literal

from asgiref.sync import sync_to_async
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path
from pydantic import BaseModel
from rest_framework.request import Request

from batches.api.batch_object import BatchObject, batch_object, readable_batches
from batches.api.batches import found
from batches.api.http.streaming import is_asynchronous, let_go
from batches.api.http.view import ApiView, documented
from batches.engine.text.json_text import one_line
from batches.lifecycle import TERMINAL

LOOK_EVERY_S = 1.0
HEARTBEAT_EVERY_S = 15.0
MEDIA_TYPE = "text/event-stream"


class BatchEvent(BaseModel):
    """One event of the stream; `data` is the batch object as JSON."""

    event: Literal["progress", "end"]
    data: str


class EventsView(ApiView):
    """The progress of a batch."""

    @documented(
        operation_id="stream_batch_events",
        summary="Follow a batch",
        responses={(200, MEDIA_TYPE): BatchEvent},
    )
    def get(self, request: Request, batch_id: str) -> HttpResponseBase:
        """Stream a `progress` event now and after each change of the batch. When the batch ends,
        send an `end` event and close the stream. A WSGI server sends only the current state and
        closes the stream: request it again."""
        batch = found(request, batch_id)
        if request.method == "HEAD":
            response: HttpResponseBase = HttpResponse(content_type=MEDIA_TYPE)
        elif is_asynchronous(request):
            response = StreamingHttpResponse(events(batch.pk), content_type=MEDIA_TYPE)
        else:
            response = HttpResponse(_once(batch_object(batch)), content_type=MEDIA_TYPE)
        response["Cache-Control"] = "no-store"
        # Without this, proxies buffer the events.
        response["X-Accel-Buffering"] = "no"
        return response


async def events(pk: int) -> AsyncIterator[bytes]:
    """Yield the events of a batch until it ends or is deleted."""
    before: BatchObject | None = None
    said_at = time.monotonic()
    while True:
        batch = await sync_to_async(_look, thread_sensitive=False)(pk)
        if batch is None:
            return
        if before is None or _has_changed(before, batch):
            yield _event("progress", batch)
            before, said_at = batch, time.monotonic()
        elif time.monotonic() - said_at > HEARTBEAT_EVERY_S:
            yield b": still here\n\n"
            said_at = time.monotonic()
        if batch.status in TERMINAL:
            yield _event("end", batch)
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _once(batch: BatchObject) -> bytes:
    """Return the current state as events for WSGI, with the delay before browsers reconnect."""
    retry = f"retry: {round(LOOK_EVERY_S * 1000)}\n\n".encode()
    end = _event("end", batch) if batch.status in TERMINAL else b""
    return retry + _event("progress", batch) + end


def _look(pk: int) -> BatchObject | None:
    """Return the current batch object; runs in a thread of a pool."""
    try:
        batch = readable_batches().filter(pk=pk).first()
        return None if batch is None else batch_object(batch)
    finally:
        let_go()


def _has_changed(before: BatchObject, now: BatchObject) -> bool:
    """Return True if the batch changed; a change of its timing alone does not count."""
    silent = {"timing"}
    return before.model_dump(exclude=silent) != now.model_dump(exclude=silent)


def _event(name: str, batch: BatchObject) -> bytes:
    return f"event: {name}\ndata: {one_line(batch.model_dump_json())}\n\n".encode()


urlpatterns = [path("batches/<str:batch_id>/events", EventsView.as_view(), name="events")]
