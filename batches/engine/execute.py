"""Phase 2: send prepared requests, with at most `window` calls in flight at any moment.

    chunks --> RequestQueue --> lanes --> send --> exchange
                    ^        ^    |  |
                    |        +----|--+ the model is asked for a better answer
                    |             |    again, or a stronger model is
                    +-------------+ a retry, when its wait is over

A lane is one place in the window. All lanes draw from one queue; a request that waits for a retry
occupies no lane. If an answer cannot be used, the same lane asks the model again at once, and then
a stronger model if there is one: the first request and its follow-ups count as one. A stronger
model is another target, with limits of its own.

A target is a model of the provider. A target that answers nothing is away: its requests are
shelved, one of them is sent as a probe from time to time, and failures meanwhile cost no prompt an
attempt.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from batches.engine.admission import CallLimiter, Unlimited
from batches.engine.deadlines import Deadlines
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
    DEFAULT_BATCH_SIZE,
    DEFAULT_TIMEOUT_S,
    Exchange,
    Judgement,
    PreparedRequest,
    Reply,
    Schedule,
)
from batches.engine.refusals import Refusals, Ruling
from batches.engine.request_queue import Call, Chunks, Drop, RequestQueue
from batches.engine.retry import RetryPolicy, Verdict, decide

logger = logging.getLogger(__name__)

Send = Callable[[PreparedRequest], Awaitable[Reply]]
Deliver = Callable[[Exchange], Awaitable[None]]
Admit = Callable[[PreparedRequest], Awaitable[bool]]
Judge = Callable[[PreparedRequest, Reply], Judgement]


class Stop(IntEnum):
    """The treatment of requests in flight when a run is stopped. If a run is stopped several times,
    the highest value applies."""

    # Finish them, follow-ups included.
    FINISH = 1
    # Leave requests that need a follow-up unfinished, for another run.
    LEAVE = 2
    # No run follows: deliver the reply that came, even if it cannot be used.
    SETTLE = 3


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """Options for sending requests.

    `timeout_s` limits one call, from the first byte sent to the last byte received. With
    `trusting`, requests that the provider rejects fail at once, even if it rejects all of the first
    ones. `answered_before` says that an earlier run of the batch was answered. A `tentative` run
    makes one call for each request and pauses on every error, unless the provider rejects the
    request for its content.
    """

    batch_size: int = DEFAULT_BATCH_SIZE
    schedule: Schedule = "rolling"
    timeout_s: float = DEFAULT_TIMEOUT_S
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    trusting: bool = False
    answered_before: bool = False
    tentative: bool = False


class Execution:
    """One run of phase 2. Each request is delivered exactly once as an exchange, unless the run is
    stopped or paused before the request is finished.

    `pause` is the error that paused the run, if any. In that case failures that the configuration
    caused are not delivered. Requests that have a reply but still needed a follow-up are not
    delivered either: they are in `broken_off`. `deliver` may wait: its lane sends nothing
    meanwhile. `admit` is called before a request is sent and may wait too; a request that it
    rejects is dropped. `drop` is called with each request that the run leaves unfinished without
    keeping its reply or its failure. `judge` checks each reply, in this phase, since it may return
    a follow-up request; if the follow-up fails, the reply is delivered together with the error.
    `limiter` decides when each call is sent. Runners share outages of targets on the `board`.
    """

    def __init__(
        self,
        send: Send,
        deliver: Deliver,
        options: ExecutionOptions,
        *,
        admit: Admit | None = None,
        drop: Drop = lambda _: None,
        judge: Judge | None = None,
        limiter: CallLimiter[Any] | None = None,
        board: Board | None = None,
    ) -> None:
        self.pause: ProviderError | None = None
        self.broken_off: list[Exchange] = []
        self.in_flight = 0
        self._send = send
        self._deliver = deliver
        self._admit = admit
        self._drop = drop
        self._judge = judge or _accept
        self._limiter = limiter or Unlimited()
        self._options = options
        self._queue: RequestQueue | None = None
        self._stopped: Stop | None = None
        self._makes_room = False
        # Unfinished requests for which a call may have been billed.
        self._paid: set[Call] = set()
        self._refusals = Refusals(
            trusting=options.trusting, answered_before=options.answered_before
        )
        self._watch = OutageWatch(board, options.retry.patience)
        self._deadlines = Deadlines()

    async def run(self, chunks: Chunks) -> None:
        """Send all requests of these chunks, as the schedule in the options says."""
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
        """Deliver replies that still needed a follow-up, or add them to `broken_off`."""
        for call in self._queue.kept_replies() if self._queue else ():
            if self._stopped is Stop.SETTLE:
                await self._deliver(call.exchange(call.error))
            elif self.pause is not None:
                self.broken_off.append(call.exchange(self.pause))

    @property
    def is_undecided(self) -> bool:
        """Return True if failures are held back until it is known what caused them."""
        return self._refusals.are_held

    @property
    def away(self) -> list[Target]:
        """Return the targets that are away."""
        return self._watch.away()

    @property
    def is_idle(self) -> bool:
        """Return True if the run can only wait for further requests."""
        return self._queue is None or self._queue.is_idle

    def retrying(self) -> list[Call]:
        """Return the requests that wait for a retry."""
        return self._queue.retrying() if self._queue else []

    def stop(self, how: Stop = Stop.FINISH) -> None:
        """Start no further request."""
        self._stopped = max(how, self._stopped or how)
        self._limiter.close()
        if self._queue is not None:
            self._queue.close()
        self._watch.stop()

    def make_room(self) -> None:
        """End soon at no cost: drop requests that have cost nothing yet, and finish the others."""
        self._makes_room = True
        if self._queue is not None:
            self._queue.keep_only_paid()
            self._watch.make_room()
            for call in self._queue.drop_shelved():
                self._leave_undone(self._queue, call)
        self._stop_if_nothing_is_lost()

    def apply_shared(self, shared: SharedOutages) -> None:
        """Apply what other runners have found out about the targets."""
        self._watch.apply_shared(shared)

    async def _run_windows(self, chunks: Chunks) -> None:
        async for chunk in chunks:
            await self._run_window(_only(chunk))
            if self._stopped:
                return

    async def _run_window(self, chunks: Chunks) -> None:
        queue = self._queue = RequestQueue(self._options.batch_size, self._drop)
        self._watch.begin(queue)
        if self._makes_room:
            queue.keep_only_paid()
        if self._stopped:
            queue.close()
        lanes = (self._lane(queue) for _ in range(self._options.batch_size))
        try:
            await gather_all(queue.fill(chunks), *lanes, self._watch.tend())
        finally:
            self._deadlines.close()

    async def _lane(self, queue: RequestQueue) -> None:
        while (call := await queue.take()) is not None:
            await self._attend(queue, call)
            # Release the reply: the lane must not keep it while it waits for the next request.
            del call

    async def _attend(self, queue: RequestQueue, call: Call) -> None:
        """Send a request taken from the queue, unless it has failed for good or must wait."""
        if call.error and self._is_over(call):
            await self._give_up(queue, call, call.error)
            return
        if self._watch.must_wait(call):
            self._shelve(queue, call)
            return
        turn = await self._limiter.enter(call.request)
        admitted = self._admit is None or await self._admit(call.request)
        if not admitted or self._stopped:
            # The run was stopped while the request waited for its turn or for admission.
            self._limiter.drop(turn)
            if self._stopped:
                # The queue is closed: it keeps a request that has a reply, and drops any other.
                queue.put_back(call, 0.0)
            else:
                self._leave_undone(queue, call)
            return
        if self._watch.must_wait(call):
            self._limiter.drop(turn)
            self._shelve(queue, call)
            return
        error = await self._converse(call, turn)
        if error is not None:
            await self._handle(queue, call, error)
        elif call.follow_up is None or self._stopped is Stop.SETTLE:
            await self._finish(queue, call, call.exchange())
        elif call.is_asking:
            # The next model is away.
            self._shelve(queue, call)
        else:
            self._break_off(queue, call)

    async def _converse(self, call: Call, turn: Any) -> ProviderError | None:
        """Send the request and its follow-ups; return the error that ended them, if any."""
        while True:
            result = await self._call(call)
            self._limiter.leave(turn, result, call.latency_s)
            if not isinstance(result, Reply):
                return result
            self._watch.answered(call)
            self._refusals.disprove(call.request.model, sent_at=call.began_at)
            call.answered(result, self._judgement(call.request, result))
            if call.follow_up is None:
                return None
            self._paid.add(call)
            turn = await self._limiter.enter(call.follow_up)
            if not await self._may_ask_again(call.follow_up):
                self._limiter.drop(turn)
                return None
            call.ask(call.follow_up)
            if self._watch.must_wait(call):
                self._limiter.drop(turn)
                return None

    async def _may_ask_again(self, request: PreparedRequest) -> bool:
        if not self._stopped:
            admitted = self._admit is None or await self._admit(request)
            if not self._stopped:
                return admitted
        # A follow-up counts as part of a request in flight.
        return self._stopped is Stop.FINISH

    def _judgement(self, request: PreparedRequest, reply: Reply) -> Judgement:
        try:
            return self._judge(request, reply)
        except Exception as error:
            # The reply is paid for; a bug in this program must not cause a second charge.
            logger.exception("Judging the answer to prompt %d failed unexpectedly", request.index)
            message = f"judging the answer failed: {type(error).__name__}: {error}"
            return Judgement(fault=AnswerRejected(FailureKind.INTERNAL, message))

    async def _call(self, call: Call) -> Reply | ProviderError:
        """Make one call. Return any error as a ProviderError."""
        call.began_at = time.monotonic()
        call.sent_at = call.sent_at or call.began_at
        self._watch.began(call)
        timeout_s = self._watch.time_limit(call, self._options.timeout_s)
        self.in_flight += 1
        clock = self._deadlines.begin(timeout_s)
        try:
            return await self._send(call.request)
        except ProviderError as error:
            return error
        except TimeoutError:
            return _timed_out(timeout_s)
        except asyncio.CancelledError:
            if clock.forgive():
                return _timed_out(timeout_s)
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # A lower layer cancelled its own call; this task was not cancelled.
            return NetworkError("the call was cancelled inside the HTTP client")
        except Exception as error:
            # A bug must not make one prompt fail the others.
            logger.exception("Sending prompt %d failed unexpectedly", call.request.index)
            return InternalError(f"{type(error).__name__}: {error}")
        finally:
            self.in_flight -= 1
            call.done_at = time.monotonic()
            self._deadlines.end(clock)
            call.latency_s = call.done_at - call.began_at - clock.not_counted_s
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
        """Return True if a request may not be retried, and its failures are its own fault."""
        spent = call.attempts >= self._options.retry.max_attempts
        return call.exhausted or (call.is_proved and spent)

    def _verdict(self, call: Call, error: ProviderError, blame: Blame) -> Verdict:
        # Retry an unavailable server until it is known whether the target is away.
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
        """Shelve a request until its target answers, or pause if the outage lasts too long."""
        waited_s = self._watch.failed(call, error)
        if waited_s and waited_s >= self._options.retry.patience.total_s:
            self._pause_for(queue, call, TargetAway(error, waited_s=waited_s))
        else:
            self._shelve(queue, call)

    def _shelve(self, queue: RequestQueue, call: Call) -> None:
        if self._makes_room and call.reply is None:
            # An outage may last. Starting again later costs less than a worker that waits.
            self._leave_undone(queue, call)
        else:
            self._watch.shelve(call)

    async def _give_up(self, queue: RequestQueue, call: Call, error: ProviderError) -> None:
        """End a request that has failed, unless the configuration may have caused the failure."""
        exchange = call.exchange(error)
        ruling = self._refusals.weigh(exchange)
        if ruling is Ruling.PAUSE:
            self._pause_for(queue, call, error)
        elif ruling is Ruling.HELD:
            self._end(queue, call)
        else:
            await self._finish(queue, call, exchange)

    def _pause_for(self, queue: RequestQueue, call: Call, error: ProviderError) -> None:
        self.pause = self.pause or error
        self.stop(Stop.LEAVE)
        self._break_off(queue, call)

    def _break_off(self, queue: RequestQueue, call: Call) -> None:
        """Leave a request unfinished, so that the error that stops the run does not fail it."""
        if call.reply is None:
            self._leave_undone(queue, call)
        else:
            self.broken_off.append(call.exchange(self.pause))
            self._end(queue, call)

    async def _finish(self, queue: RequestQueue, call: Call, exchange: Exchange) -> None:
        try:
            await self._deliver_due()
            await self._deliver(exchange)
        finally:
            self._end(queue, call)

    async def _deliver_due(self) -> None:
        """Deliver failures that were held back; none after a pause, which must fail no prompt."""
        due = [] if self.pause else self._refusals.release()
        for exchange in due:
            await self._deliver(exchange)

    def _leave_undone(self, queue: RequestQueue, call: Call) -> None:
        self._drop(call.request)
        self._end(queue, call)

    def _end(self, queue: RequestQueue, call: Call) -> None:
        """Release a request, delivered or not."""
        self._watch.release(call)
        self._paid.discard(call)
        queue.finish()
        self._stop_if_nothing_is_lost()

    def _stop_if_nothing_is_lost(self) -> None:
        """Stop, if room is to be made and no request in progress has cost anything."""
        if self._makes_room and not self._paid and not self.in_flight:
            self.stop()


def _timed_out(limit_s: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"timed out: no complete reply within {limit_s:g} s")


def _accept(_request: PreparedRequest, reply: Reply) -> Judgement:
    return Judgement(fault=reply.fault)


async def _only(chunk: Sequence[PreparedRequest]) -> Chunks:
    yield chunk


async def gather_all(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run `asyncio.gather`; if one coroutine fails, cancel the others and wait for their end."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
