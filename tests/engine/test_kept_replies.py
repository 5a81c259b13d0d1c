"""A reply that is delivered is kept by nothing in the engine."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from weakref import ref

from batches.engine.execute import Execution, ExecutionOptions
from batches.engine.records import Exchange, PreparedRequest, Reply
from tests.engine.makers import reply, request

LANES = 5


class Body(str):
    """A text that tells when it is gone."""

    __slots__ = ("__weakref__",)


async def test_an_idle_lane_keeps_no_reply() -> None:
    bodies: list[ref[Body]] = []
    delivered = 0
    over = asyncio.Event()

    async def send(asked: PreparedRequest) -> Reply:
        if asked.index == LANES - 1:
            await over.wait()
            return reply()
        body = Body(f"reply {asked.index}")
        bodies.append(ref(body))
        return replace(reply(), body=body)

    async def deliver(_: Exchange) -> None:
        nonlocal delivered
        delivered += 1

    async def chunks() -> AsyncIterator[Sequence[PreparedRequest]]:
        yield [request(index) for index in range(LANES)]

    execution = Execution(send, deliver, ExecutionOptions(batch_size=LANES))
    running = asyncio.create_task(execution.run(chunks()))
    async with asyncio.timeout(60):
        while delivered < LANES - 1 or any(body() is not None for body in bodies):
            gc.collect()
            await asyncio.sleep(0)
    over.set()
    await running
    assert delivered == LANES
