"""Phase 2: prepared requests become exchanges, at most `window` calls in flight at any moment.

    chunks --> RequestQueue --> lanes --> send --> exchange
                    ^        ^    |  |
                    |        +----|--+ the answer is asked for again
                    +-------------+ a retry, when its wait is over

A lane is one place in the window. Lanes draw from one queue; a request that waits for a retry is
in nobody's lane. An answer is asked for again in the same lane, at once: question, answer and the
questions that follow count as one.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from batches.engine.errors import (
    DeadlineExceeded,
    Decision,
    InternalError,
    NetworkError,
    ProviderError,
)
from batches.engine.first_refusals import FirstRefusals
from batches.engine.records import (
    Exchange,
    Judgement,
    PreparedRequest,
    Reply,
    Schedule,
    Usage,
)
from batches.engine.retry import RetryPolicy, decide
from batches.engine.turns import Anarchy, Governor

logger = logging.getLogger(__name__)

Send = Callable[[PreparedRequest], Awaitable[Reply]]
Deliver = Callable[[Exchange], Awaitable[None]]
Admit = Callable[[PreparedRequest], Awaitable[bool]]
Judge = Callable[[PreparedRequest, Reply], Judgement]
Chunks = AsyncIterator[Sequence[PreparedRequest]]

DEFAULT_BATCH_SIZE = 100
DEFAULT_TIMEOUT_S = 600.0

# Requests that wait for a retry, per lane. When so many wait, no fresh request is begun, so that
# memory and leases stay bounded while a provider is down.
WAITING_PER_LANE = 10


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How requests are sent; `timeout_s` is for one call from first byte sent to last received."""

    batch_size: int = DEFAULT_BATCH_SIZE
    schedule: Schedule = "rolling"
    timeout_s: float = DEFAULT_TIMEOUT_S
    retry: RetryPolicy = field(default_factory=RetryPolicy)


@dataclass(slots=True)
class _Call:
    """A request on its way, with what its calls so far have cost. Times in seconds."""

    request: PreparedRequest
    calls: int = 0
    attempts: int = 0
    waited_s: float = 0.0
    busy_s: float = 0.0
    latency_s: float = 0.0
    sent_at: float = 0.0
    done_at: float = 0.0
    reply: Reply | None = None
    judgement: Judgement | None = None
    spent: Usage = field(default_factory=Usage)

    def answered(self, reply: Reply, judgement: Judgement | None) -> None:
        """Take a reply; the tokens of the one before it are spent all the same."""
        if self.reply is not None:
            self.spent += self.reply.usage
        self.reply, self.judgement = reply, judgement

    def ask(self, follow_up: PreparedRequest) -> None:
        """Go on with another request, which has attempts of its own."""
        self.request = follow_up
        self.attempts = 0

    def exchange(self, error: ProviderError | None = None) -> Exchange:
        return Exchange(
            request=self.request,
            reply=self.reply,
            error=error,
            calls=self.calls,
            latency_s=self.latency_s,
            busy_s=self.busy_s,
            sent_at=self.sent_at,
            done_at=self.done_at,
            judgement=self.judgement,
            spent=self.spent,
        )


class RequestQueue:
    """What lanes draw from: fresh requests in their order, and retries whose wait is over.

    It is filled no further than a window ahead, and ends when every request it took in is
    finished, or when it is closed.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._ready: asyncio.Queue[_Call | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._unfinished = 0
        self._waiting = 0
        self._filled = False
        self._closed = False

    async def fill(self, chunks: Chunks) -> None:
        """Take in the chunks, each when there is room for it."""
        async for chunk in chunks:
            if self._closed:
                return
            self._unfinished += len(chunk)
            for request in chunk:
                self._ready.put_nowait(_Call(request))
            while not self._has_room():
                self._room.clear()
                await self._room.wait()
        self._filled = True
        self._close_when_drained()

    async def take(self) -> _Call | None:
        """The next request to send; None when there will be no more."""
        call = await self._ready.get()
        if self._has_room():
            self._room.set()
        return call

    def put_back(self, call: _Call, delay_s: float) -> None:
        """Have a request drawn again after a wait."""
        self._waiting += 1
        asyncio.get_running_loop().call_later(delay_s, self._end_wait, call)

    def finish(self) -> None:
        """Count one request as finished."""
        self._unfinished -= 1
        self._close_when_drained()

    def close(self) -> None:
        """Give out nothing more; what was not begun stays undone."""
        if self._closed:
            return
        self._closed = True
        while not self._ready.empty():
            self._ready.get_nowait()
        for _ in range(self._lanes):
            self._ready.put_nowait(None)
        self._room.set()

    def _end_wait(self, call: _Call) -> None:
        self._waiting -= 1
        if not self._closed:
            self._ready.put_nowait(call)

    def _has_room(self) -> bool:
        return self._closed or (
            self._ready.qsize() < self._lanes and self._waiting < self._lanes * WAITING_PER_LANE
        )

    def _close_when_drained(self) -> None:
        if self._filled and not self._unfinished:
            self.close()


class Execution:
    """One run of phase 2. Every request taken in is delivered as an exchange, exactly once,
    unless the run is stopped or paused before that request is finished.

    `pause` is the error that asked for a pause, if one did; what was refused only because the
    set-up is wrong is not delivered then. `deliver` may wait: as long as it does, its lane sends
    nothing. `admit` is asked before a request is sent and may wait too; a
    request that it turns away is dropped. `judge` looks at each reply and may name a request to go
    on with; when that one fails, what is delivered is the reply with the error. `governor` decides
    when each call goes out.
    """

    def __init__(
        self,
        send: Send,
        deliver: Deliver,
        options: ExecutionOptions,
        *,
        admit: Admit | None = None,
        judge: Judge | None = None,
        governor: Governor | None = None,
    ) -> None:
        self.pause: ProviderError | None = None
        self.in_flight = 0
        self._send = send
        self._deliver = deliver
        self._admit = admit
        self._judge = judge
        self._governor = governor or Anarchy()
        self._options = options
        self._queue: RequestQueue | None = None
        self._stopped = False
        self._refusals = FirstRefusals()

    async def run(self, chunks: Chunks) -> None:
        """Send all requests of these chunks, by the schedule of the options."""
        if self._options.schedule == "rolling":
            await self._run_window(chunks)
        else:
            await self._run_windows(chunks)
        if self.pause is None:
            await self._deliver_held(ending=True)

    def stop(self) -> None:
        """Begin no further request; those in flight are finished and delivered."""
        self._stopped = True
        self._governor.close()
        if self._queue is not None:
            self._queue.close()

    async def _run_windows(self, chunks: Chunks) -> None:
        async for chunk in chunks:
            if self._stopped:
                return
            await self._run_window(_only(chunk))

    async def _run_window(self, chunks: Chunks) -> None:
        queue = self._queue = RequestQueue(self._options.batch_size)
        if self._stopped:
            queue.close()
        lanes = (self._lane(queue) for _ in range(self._options.batch_size))
        await gather_all(queue.fill(chunks), *lanes)

    async def _lane(self, queue: RequestQueue) -> None:
        while (call := await queue.take()) is not None:
            await self._governor.enter(call.request)
            if self._admit is not None and not await self._admit(call.request):
                self._governor.drop(call.request)
                queue.finish()
                continue
            if self._stopped:
                # Stopped while it waited for its turn or to be admitted.
                self._governor.drop(call.request)
                return
            error = await self._converse(call)
            if error is None:
                await self._finish(queue, call.exchange())
            else:
                await self._handle(queue, call, error)

    async def _converse(self, call: _Call) -> ProviderError | None:
        """Call, and again as long as a better answer is asked for; the error that ended it."""
        while True:
            result = await self._call(call)
            self._governor.leave(call.request, result, call.latency_s)
            if not isinstance(result, Reply):
                return result
            self._refusals.disprove()
            judgement = self._judge(call.request, result) if self._judge else None
            call.answered(result, judgement)
            if judgement is None or judgement.follow_up is None:
                return None
            call.ask(judgement.follow_up)
            await self._governor.enter(call.request)

    async def _call(self, call: _Call) -> Reply | ProviderError:
        """Make one call; whatever goes wrong comes back as a ProviderError."""
        started = time.monotonic()
        call.sent_at = call.sent_at or started
        self.in_flight += 1
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await self._send(call.request)
        except ProviderError as error:
            return error
        except TimeoutError:
            return DeadlineExceeded(f"no whole reply within {self._options.timeout_s:g} s")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something below cancelled its own call; nobody cancelled us.
            return NetworkError("the call was broken off")
        except Exception as error:
            # One prompt must not take the others down with it, whatever is wrong with us.
            logger.exception("Sending prompt %d failed unexpectedly", call.request.index)
            return InternalError(f"{type(error).__name__}: {error}")
        finally:
            self.in_flight -= 1
            call.done_at = time.monotonic()
            call.latency_s = call.done_at - started
            call.busy_s += call.latency_s
            call.calls += 1

    async def _handle(self, queue: RequestQueue, call: _Call, error: ProviderError) -> None:
        call.attempts += error.costs_attempt
        verdict = decide(
            error,
            attempts=call.attempts,
            calls=call.calls,
            waited_s=call.waited_s,
            policy=self._options.retry,
            chance=random.random(),
        )
        if verdict.decision is Decision.PAUSE or self._refusals.blame_set_up(error):
            self.pause = self.pause or error
            self.stop()
            if call.reply is not None:
                # It is paid for, and would be asked for anew.
                await self._finish(queue, call.exchange(error))
        elif verdict.decision is Decision.RETRY:
            call.waited_s += verdict.delay_s
            queue.put_back(call, verdict.delay_s)
        elif self._refusals.hold(call.exchange(error)):
            queue.finish()
        else:
            await self._finish(queue, call.exchange(error))

    async def _finish(self, queue: RequestQueue, exchange: Exchange) -> None:
        try:
            await self._deliver_held()
            await self._deliver(exchange)
        finally:
            queue.finish()

    async def _deliver_held(self, *, ending: bool = False) -> None:
        for exchange in self._refusals.release(ending=ending):
            await self._deliver(exchange)


async def _only(chunk: Sequence[PreparedRequest]) -> Chunks:
    yield chunk


async def gather_all(*coroutines: Coroutine[Any, Any, None]) -> None:
    """`asyncio.gather` that leaves nothing running behind when one of them fails."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
