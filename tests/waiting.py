"""Waiting for a condition, never for a second."""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 30.0


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], bool]) -> None:
    """The same outside of an event loop."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)
