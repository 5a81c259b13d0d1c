"""A ScriptedServer in a thread of its own, for code that has no event loop."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.scripted_server import ScriptedServer, Step


@contextmanager
def scripted(*script: Step) -> Iterator[str]:
    """Serve this script inside the block, at the base URL given."""
    ready, over = threading.Event(), asyncio.Event()
    servers: list[ScriptedServer] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with ScriptedServer(*script) as server:
            servers.append(server)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield servers[0].base_url
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()
