"""Waiting for a condition, never for a second."""

import asyncio
import time
from collections.abc import Callable

# Long enough for the slowest machine; nothing is concluded from it. Two such waits fit into the
# five minutes after which pytest ends a test.
PATIENCE_S = 120.0
POLL_S = 0.005


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)


def wait_until(
    condition: Callable[[], object], what: str = "a condition", *, seconds: float = PATIENCE_S
) -> None:
    """Wait for a condition outside of an event loop; fail with the name of what did not happen."""
    assert comes_true(condition, seconds=seconds), f"{what} did not happen within {seconds:g} s"


def comes_true(condition: Callable[[], object], *, seconds: float) -> bool:
    """Wait for a condition; return False if it did not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
