"""Phase 2: prepared requests become exchanges, at most `window` calls in flight at any moment.

    chunks --> RequestQueue --> lanes --> send --> exchange
                    ^        ^    |  |
                    |        +----|--+ the answer is asked for again
                    +-------------+ a retry, when its wait is over

A lane is one place in the window. Lanes draw from one queue; a request that waits for a retry is
in nobody's lane. An answer is asked for again in the same lane, at once: question, answer and the
questions that follow count as one.

A target (a model of the provider) that answers nothing is away: its requests are kept on a shelf,
one of them is sent as a probe now and then, and no prompt is charged for what fails meanwhile.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from batches.engine.deadlines import CallClock, call_begins
from batches.engine.errors import (
    AnswerRejected,
    DeadlineExceeded,
    Decision,
    FailureKind,
    InternalError,
    NetworkError,
    ProviderError,
    RequestRefused,
    TargetAway,
)
from batches.engine.liveness import Blame, Suspicion, suspicion_of
from batches.engine.outages import Board, OutageWatch, SharedOutages, Target
from batches.engine.records import (
    Exchange,
    Judgement,
    PreparedRequest,
    Reply,
    Schedule,
)
from batches.engine.refusals import Refusals, Ruling
from batches.engine.request_queue import Call, Chunks, RequestQueue
from batches.engine.retry import RetryPolicy, Verdict, decide
from batches.engine.turns import Anarchy, Governor

logger = logging.getLogger(__name__)

Send = Callable[[PreparedRequest], Awaitable[Reply]]
Deliver = Callable[[Exchange], Awaitable[None]]
Admit = Callable[[PreparedRequest], Awaitable[bool]]
Judge = Callable[[PreparedRequest, Reply], Judgement]

DEFAULT_BATCH_SIZE = 100
DEFAULT_TIMEOUT_S = 600.0


class Stop(IntEnum):
    """What becomes of requests in flight when a run is stopped; of several stops the last named
    here holds."""

    # They are finished, with the questions that follow.
    FINISH = 1
    # What would have to be asked for again is left undone, for another run.
    LEAVE = 2
    # No run follows: what came is delivered, whatever it is worth.
    SETTLE = 3


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How requests are sent; `timeout_s` is for one call from first byte sent to last received.

    `trusting` takes a provider at its word when it refuses all of the first requests;
    `answered_before` says that an earlier run of the batch was answered. A `tentative` run makes
    one call of each request, and every error is a reason to pause it but that the provider refuses
    the request for what it says.
    """

    batch_size: int = DEFAULT_BATCH_SIZE
    schedule: Schedule = "rolling"
    timeout_s: float = DEFAULT_TIMEOUT_S
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    trusting: bool = False
    answered_before: bool = False
    tentative: bool = False


class Execution:
    """One run of phase 2. Every request taken in is delivered as an exchange, exactly once,
    unless the run is stopped or paused before that request is finished.

    `pause` is the error that asked for a pause, if one did; what was refused only because the
    set-up is wrong is not delivered then, nor are requests whose answer should have been asked
    for again: those are `broken_off`. `deliver` may wait: as long as it does, its lane sends
    nothing. `admit` is asked before a request is sent and may wait too; a
    request that it turns away is dropped. `judge` looks at each reply and may name a request to go
    on with; when that one fails, what is delivered is the reply with the error. `governor` decides
    when each call goes out. `board` is what runners tell each other of targets that are away.
    """

    def __init__(
        self,
        send: Send,
        deliver: Deliver,
        options: ExecutionOptions,
        *,
        admit: Admit | None = None,
        judge: Judge | None = None,
        governor: Governor[Any] | None = None,
        board: Board | None = None,
    ) -> None:
        self.pause: ProviderError | None = None
        self.broken_off: list[Exchange] = []
        self.in_flight = 0
        self._send = send
        self._deliver = deliver
        self._admit = admit
        self._judge = judge
        self._governor = governor or Anarchy()
        self._options = options
        self._queue: RequestQueue | None = None
        self._stopped: Stop | None = None
        self._makes_room = False
        # Unfinished requests that a call was paid for.
        self._paid: set[Call] = set()
        self._refusals = Refusals(
            trusting=options.trusting, answered_before=options.answered_before
        )
        self._watch = OutageWatch(board, options.retry.patience)

    async def run(self, chunks: Chunks) -> None:
        """Send all requests of these chunks, by the schedule of the options."""
        if self._options.schedule == "rolling":
            await self._run_window(chunks)
        else:
            await self._run_windows(chunks)
        await self._end_kept()
        if self._stopped is Stop.SETTLE:
            self._refusals.settle()
        elif self.pause is None and not self._stopped:
            self.pause = self._refusals.end()
        await self._deliver_due()

    async def _end_kept(self) -> None:
        """Deliver what was answered and is still to be asked for again, or break it off."""
        for call in self._queue.kept_replies() if self._queue else ():
            if self._stopped is Stop.SETTLE:
                await self._deliver(call.exchange(call.error))
            elif self.pause is not None:
                self.broken_off.append(call.exchange(self.pause))

    @property
    def is_undecided(self) -> bool:
        """Whether failures are held back, of which it is not known yet whose fault they are."""
        return self._refusals.are_held

    @property
    def away(self) -> list[Target]:
        """The targets that are waited for."""
        return self._watch.away()

    @property
    def is_idle(self) -> bool:
        """Return True if there is nothing to do but to take in another request."""
        return self._queue is None or self._queue.is_idle

    def retrying(self) -> list[Call]:
        """Return the requests that wait for a retry."""
        return self._queue.retrying() if self._queue else []

    def stop(self, how: Stop = Stop.FINISH) -> None:
        """Begin no further request."""
        self._stopped = max(how, self._stopped or how)
        self._governor.close()
        if self._queue is not None:
            self._queue.close()
        self._watch.stop()

    def make_room(self) -> None:
        """End soon, at no cost: leave undone what has cost nothing yet, and finish the rest."""
        self._makes_room = True
        if self._queue is not None:
            self._queue.keep_only_paid()
            self._watch.make_room()
            for call in self._queue.drop_shelved():
                self._leave_undone(self._queue, call)
        self._stop_if_nothing_is_lost()

    def heed(self, shared: SharedOutages) -> None:
        """Take over what other runners have found out about the targets."""
        self._watch.heed(shared)

    async def _run_windows(self, chunks: Chunks) -> None:
        async for chunk in chunks:
            if self._stopped:
                return
            await self._run_window(_only(chunk))

    async def _run_window(self, chunks: Chunks) -> None:
        queue = self._queue = RequestQueue(self._options.batch_size)
        self._watch.begin(queue)
        if self._makes_room:
            queue.keep_only_paid()
        if self._stopped:
            queue.close()
        lanes = (self._lane(queue) for _ in range(self._options.batch_size))
        await gather_all(queue.fill(chunks), *lanes, self._watch.tend())

    async def _lane(self, queue: RequestQueue) -> None:
        while (call := await queue.take()) is not None:
            await self._attend(queue, call)
            # While the lane waits for the next one it must not keep the reply to this one.
            del call

    async def _attend(self, queue: RequestQueue, call: Call) -> None:
        """Send a request that was taken from the queue, unless it is over or must wait."""
        if call.error and self._is_over(call):
            await self._give_up(queue, call, call.error)
            return
        if self._watch.must_wait(call):
            self._shelve(queue, call)
            return
        turn = await self._governor.enter(call.request)
        admitted = self._admit is None or await self._admit(call.request)
        if not admitted or self._stopped:
            # Stopped while it waited for its turn or to be admitted.
            self._governor.drop(turn)
            self._leave_undone(queue, call)
            return
        if self._watch.must_wait(call):
            self._governor.drop(turn)
            self._shelve(queue, call)
            return
        error = await self._converse(call, turn)
        if error is not None:
            await self._handle(queue, call, error)
        elif call.follow_up and self._stopped is not Stop.SETTLE:
            self._break_off(queue, call)
        else:
            await self._finish(queue, call, call.exchange())

    async def _converse(self, call: Call, turn: Any) -> ProviderError | None:
        """Call, and again as long as a better answer is asked for; the error that ended it."""
        while True:
            result = await self._call(call)
            self._governor.leave(turn, result, call.latency_s)
            if not isinstance(result, Reply):
                return result
            self._watch.answered(call)
            self._refusals.disprove(call.request.model, sent_at=call.began_at)
            call.answered(result, self._judgement(call.request, result))
            if call.follow_up is None:
                return None
            self._paid.add(call)
            turn = await self._governor.enter(call.follow_up)
            if not await self._may_ask_again(call.follow_up):
                self._governor.drop(turn)
                return None
            call.ask(call.follow_up)

    async def _may_ask_again(self, request: PreparedRequest) -> bool:
        if not self._stopped:
            admitted = self._admit is None or await self._admit(request)
            if not self._stopped:
                return admitted
        # Part of what is in flight.
        return self._stopped is Stop.FINISH

    def _judgement(self, request: PreparedRequest, reply: Reply) -> Judgement | None:
        if self._judge is None:
            return None
        try:
            return self._judge(request, reply)
        except Exception as error:
            # It is paid for; a defect of ours must not have it paid for again.
            logger.exception("Judging the answer to prompt %d failed unexpectedly", request.index)
            message = f"judging the answer failed: {type(error).__name__}: {error}"
            return Judgement(fault=AnswerRejected(FailureKind.INTERNAL, message))

    async def _call(self, call: Call) -> Reply | ProviderError:
        """Make one call; whatever goes wrong comes back as a ProviderError."""
        call.began_at = time.monotonic()
        call.sent_at = call.sent_at or call.began_at
        self._watch.began(call)
        timeout_s = self._watch.time_limit(call, self._options.timeout_s)
        self.in_flight += 1
        clock: CallClock | None = None
        try:
            async with asyncio.timeout(timeout_s) as limit:
                clock = call_begins(limit)
                return await self._send(call.request)
        except ProviderError as error:
            return error
        except TimeoutError:
            return DeadlineExceeded(f"no whole reply within {timeout_s:g} s")
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
            waited_s = clock.not_counted_s if clock else 0.0
            call.latency_s = call.done_at - call.began_at - waited_s
            call.busy_s += call.latency_s
            call.calls += 1

    async def _handle(self, queue: RequestQueue, call: Call, error: ProviderError) -> None:
        call.error = error
        blame = Blame.PROMPT
        if not self._options.tentative:
            blame = await self._watch.blame(call, error)
        if blame is Blame.TARGET:
            self._wait_for_target(queue, call, error)
            return
        call.charge(error, doubted=blame is Blame.OPEN)
        verdict = self._verdict(call, error, blame)
        tried = self._options.tentative and not isinstance(error, RequestRefused)
        if verdict.decision is Decision.PAUSE or tried:
            self._pause_for(queue, call, error)
        elif verdict.decision is Decision.RETRY:
            call.waited_s += verdict.delay_s
            if call.is_paid:
                self._paid.add(call)
            judged_s = time.monotonic() - call.done_at
            queue.put_back(call, max(verdict.delay_s - judged_s, 0.0))
            self._stop_if_nothing_is_lost()
        elif blame is Blame.OPEN:
            self._paid.add(call)
            queue.bench(call)
        else:
            await self._give_up(queue, call, error)

    def _is_over(self, call: Call) -> bool:
        """Return True if a request has failed for the last time, and it was its own fault."""
        spent = call.attempts >= self._options.retry.max_attempts
        return call.exhausted or (call.is_proved and spent)

    def _verdict(self, call: Call, error: ProviderError, blame: Blame) -> Verdict:
        # A server that takes nothing now is asked until it is known whether it is away.
        is_spared = blame is Blame.OPEN and suspicion_of(error) is Suspicion.UNAVAILABLE
        return decide(
            error,
            attempts=0 if is_spared else call.attempts,
            retries=call.retries,
            waited_s=call.waited_s,
            policy=self._options.retry,
            chance=random.random(),
        )

    def _wait_for_target(self, queue: RequestQueue, call: Call, error: ProviderError) -> None:
        """Keep a request until its target answers, or pause if it has been away for too long."""
        waited_s = self._watch.failed(call, error)
        if waited_s and waited_s >= self._options.retry.patience.total_s:
            self._pause_for(queue, call, TargetAway(error, waited_s=waited_s))
        else:
            self._shelve(queue, call)

    def _shelve(self, queue: RequestQueue, call: Call) -> None:
        if self._makes_room and call.reply is None:
            # An outage may last: to begin again later costs less than a worker that waits.
            self._leave_undone(queue, call)
        else:
            self._watch.shelve(call)

    async def _give_up(self, queue: RequestQueue, call: Call, error: ProviderError) -> None:
        """End a request that has failed, unless that may be no fault of its own."""
        exchange = call.exchange(error)
        ruling = self._refusals.weigh(exchange)
        if ruling is Ruling.PAUSE:
            self._pause_for(queue, call, error)
        elif ruling is Ruling.HELD:
            self._leave_undone(queue, call)
        else:
            await self._finish(queue, call, exchange)

    def _pause_for(self, queue: RequestQueue, call: Call, error: ProviderError) -> None:
        self.pause = self.pause or error
        self.stop(Stop.LEAVE)
        self._break_off(queue, call)

    def _break_off(self, queue: RequestQueue, call: Call) -> None:
        """Leave a request undone that is not to fail for what stops the run."""
        if call.reply is not None:
            self.broken_off.append(call.exchange(self.pause))
        self._leave_undone(queue, call)

    async def _finish(self, queue: RequestQueue, call: Call, exchange: Exchange) -> None:
        try:
            await self._deliver_due()
            await self._deliver(exchange)
        finally:
            self._leave_undone(queue, call)

    async def _deliver_due(self) -> None:
        """Deliver failures that were held back; never for a pause, which is to fail no prompt."""
        due = [] if self.pause else self._refusals.release()
        for exchange in due:
            await self._deliver(exchange)

    def _leave_undone(self, queue: RequestQueue, call: Call) -> None:
        """Release a request, delivered or not."""
        self._watch.release(call)
        self._paid.discard(call)
        queue.finish()
        self._stop_if_nothing_is_lost()

    def _stop_if_nothing_is_lost(self) -> None:
        """Stop as soon as nothing is under way that was paid for, if room is to be made."""
        if self._makes_room and not self._paid and not self.in_flight:
            self.stop()


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
