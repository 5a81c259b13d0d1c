"""A request is admitted before it is sent: it may have to wait, or be turned away."""

import asyncio

from batches.engine.execute import Execution, ExecutionOptions
from batches.engine.records import Exchange, PreparedRequest
from batches.engine.retry import RetryPolicy
from tests.engine.doors import Doors, ended, settle
from tests.engine.makers import in_chunks, request
from tests.waiting import eventually


class Gate:
    """An `admit` that lets nobody through before it is opened, and turns some away."""

    def __init__(self, *, turned_away: frozenset[int] = frozenset()) -> None:
        self.waiting: list[int] = []
        self._turned_away = turned_away
        self._open = asyncio.Event()

    async def admit(self, request: PreparedRequest) -> bool:
        self.waiting.append(request.index)
        await self._open.wait()
        return request.index not in self._turned_away

    def open(self) -> None:
        self._open.set()


class Guarded:
    """An execution of nine requests behind a gate, three at a time."""

    def __init__(self, gate: Gate) -> None:
        self.doors = Doors()
        self.delivered: list[int] = []
        options = ExecutionOptions(batch_size=3, retry=RetryPolicy(base_s=0.0))
        self.execution = Execution(self.doors.send, self.deliver, options, admit=gate.admit)
        chunks = in_chunks(map(request, range(9)), 3)
        self.task = asyncio.create_task(self.execution.run(chunks))

    async def deliver(self, exchange: Exchange) -> None:
        self.delivered.append(exchange.request.index)


async def test_a_request_that_waits_to_be_admitted_is_not_sent_after_a_stop() -> None:
    gate = Gate()
    run = Guarded(gate)
    await eventually(lambda: gate.waiting == [0, 1, 2])
    run.execution.stop()
    gate.open()
    await ended(run.task)
    assert run.doors.begun == []
    assert run.delivered == []


async def test_nothing_is_sent_before_it_is_admitted() -> None:
    gate = Gate()
    run = Guarded(gate)
    await eventually(lambda: gate.waiting == [0, 1, 2])
    await settle()
    assert run.doors.begun == []
    gate.open()
    await run.doors.let_all(run.task.done)
    await ended(run.task)
    assert sorted(run.delivered) == list(range(9))


async def test_a_request_that_is_turned_away_is_dropped_and_holds_nobody_up() -> None:
    gate = Gate(turned_away=frozenset({1, 5, 8}))
    gate.open()
    run = Guarded(gate)
    await run.doors.let_all(run.task.done)
    await ended(run.task)
    assert sorted(run.delivered) == [0, 2, 3, 4, 6, 7]
    assert run.doors.begun == [0, 2, 3, 4, 6, 7]
