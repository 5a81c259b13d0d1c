"""Tune a process that runs batches: a faster event loop, a calmer garbage collector."""

import asyncio
import gc
from contextlib import suppress


def tune_process() -> None:
    """Use uvloop if it is installed, and do not scan the objects loaded so far for garbage again.

    Call it when everything is imported and no event loop runs.
    """
    with suppress(ImportError):
        import uvloop  # noqa: PLC0415 - not on every system

        # asgiref starts the event loops, and takes them from this policy.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
