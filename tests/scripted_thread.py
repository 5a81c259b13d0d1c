"""A server in a thread of its own, for code that has no event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

from tests.scripted_server import ScriptedServer, Step

T = TypeVar("T")


@contextmanager
def scripted(*script: Step) -> Iterator[str]:
    """Serve this script inside the block, at the base URL given."""
    with in_thread(ScriptedServer(*script)) as server:
        yield server.base_url


@contextmanager
def in_thread(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Run a server inside the block."""
    ready, over = threading.Event(), asyncio.Event()
    servers: list[T] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server as running:
            servers.append(running)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield servers[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
