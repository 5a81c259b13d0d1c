"""A receiver of webhooks on a real socket, in a thread of its own, for tests that are not async."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from standardwebhooks import Webhook

from tests.scripted_server import Received, ScriptedServer, Step
from tests.waiting import PATIENCE_S


@contextmanager
def receiving(*script: Step) -> Iterator[ScriptedServer]:
    """A server that follows this script until the end of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ScriptedServer(*script)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(PATIENCE_S)
        yield server
        leaving = server.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(leaving, loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def url_of(server: ScriptedServer, path: str = "/hook") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def is_signed_with(request: Received, secret: str) -> bool:
    """Whether a library of others, which knows only this secret, accepts a request."""
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    headers = {name: request.header(name) or "" for name in names}
    try:
        Webhook(secret).verify(request.body, headers)
    except Exception:
        return False
    return True
