"""A `send` whose calls wait at a door until a test lets them through, one by one."""

import asyncio
from collections.abc import Callable

from batches.engine.errors import ProviderError
from batches.engine.execute import Admit, Execution, ExecutionOptions, Judge
from batches.engine.records import Exchange, PreparedRequest, Reply, Schedule
from batches.engine.request_queue import Chunks
from batches.engine.retry import RetryPolicy
from tests.engine.makers import in_chunks, reply, request
from tests.waiting import PATIENCE_S, eventually


class Doors:
    """`begun` has the index of each call in its order, `inside` the calls that wait."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.inside: dict[int, asyncio.Future[Reply]] = {}
        self.most_inside = 0

    async def send(self, request: PreparedRequest) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.begun.append(request.index)
        self.inside[request.index] = future
        self.most_inside = max(self.most_inside, len(self.inside))
        try:
            return await future
        finally:
            del self.inside[request.index]

    def let(self, *indices: int) -> None:
        """Answer these calls."""
        for index in indices:
            self.inside[index].set_result(reply(f"answer {index}"))

    async def let_all(self, until: Callable[[], bool]) -> None:
        """Answer every call as it comes, until a condition holds."""
        await eventually(lambda: self._let_inside() or until())

    def _let_inside(self) -> bool:
        for index, future in self.inside.items():
            if not future.done():
                future.set_result(reply(f"answer {index}"))
        return False

    def fail(self, index: int, error: Exception) -> None:
        self.inside[index].set_exception(error)


class Run:
    """An execution under way, with what it has delivered."""

    def __init__(
        self,
        count: int,
        *,
        window: int,
        schedule: Schedule = "rolling",
        retry: RetryPolicy | None = None,
        timeout_s: float = 600.0,
        chunks: Chunks | None = None,
        tentative: bool = False,
        judge: Judge | None = None,
        admit: Admit | None = None,
    ) -> None:
        self.doors = Doors()
        self.delivered: list[Exchange] = []
        self.dropped: list[int] = []
        self.options = ExecutionOptions(
            batch_size=window,
            schedule=schedule,
            timeout_s=timeout_s,
            retry=retry or RetryPolicy(base_s=0.0),
            tentative=tentative,
        )
        self.execution = Execution(
            self.doors.send,
            self.deliver,
            self.options,
            judge=judge,
            admit=admit,
            drop=lambda request: self.dropped.append(request.index),
        )
        requests = map(request, range(count))
        self.task = asyncio.create_task(self.execution.run(chunks or in_chunks(requests, window)))

    async def deliver(self, exchange: Exchange) -> None:
        self.delivered.append(exchange)

    @property
    def done(self) -> list[int]:
        """The indices of what was delivered."""
        return [exchange.request.index for exchange in self.delivered]

    def error_of(self, index: int) -> ProviderError | None:
        return next(e.error for e in self.delivered if e.request.index == index)

    async def inside(self, *indices: int) -> None:
        """Wait until these calls are in flight."""
        await eventually(lambda: set(indices) <= set(self.doors.inside))

    async def full(self) -> None:
        """Wait until the window is full and nothing more can happen without an answer."""
        await eventually(lambda: len(self.doors.inside) == self.options.batch_size)
        await settle()

    async def let_all(self, until: Callable[[], bool] | None = None) -> None:
        """Answer every call as it comes, to the end of the run or until a condition holds."""
        await self.doors.let_all(until or self.task.done)
        if until is None:
            await self.end()

    async def end(self) -> None:
        """Wait for the end of the run, and raise what it raised."""
        await ended(self.task)


async def ended(task: asyncio.Task[None]) -> None:
    """Wait for the end of a task, and raise what it raised."""
    async with asyncio.timeout(PATIENCE_S):
        await task


async def settle() -> None:
    """Let everything run that can run without the clock: what has not begun then will not."""
    for _ in range(200):
        await asyncio.sleep(0)
