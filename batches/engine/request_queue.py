"""The queue of requests, and the state of each request in progress."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from batches.engine.errors import ProviderError
from batches.engine.records import AskedModel, Exchange, Judgement, PreparedRequest, Reply, Usage

Chunks = AsyncIterator[Sequence[PreparedRequest]]
Drop = Callable[[PreparedRequest], None]

# Requests per lane that may wait for a retry. At this number no new request is started, so that
# memory and leases stay bounded while a provider is down.
WAITING_PER_LANE = 10
# A request that failed just before this many outages, each of which ended with an answer to
# another request, is itself the cause of what looks like outages.
MOST_EXCUSES = 2


@dataclass(slots=True, eq=False)
class Call:
    """A request in progress, with the cost of its calls so far. Times in seconds.

    `retries` counts failures for the back-off. `doubted` of the `attempts` are taken back if the
    target turns out to be away. `blamed` says that the request failed while its target answered
    others; `excuses` counts the outages that its failures were attributed to; `exhausted` says that
    it will not be retried. `error` is the error of the last call. `spent` and `below` are as in
    `Exchange`.
    """

    request: PreparedRequest
    calls: int = 0
    attempts: int = 0
    retries: int = 0
    doubted: int = 0
    blamed: bool = False
    excuses: int = 0
    exhausted: bool = False
    error: ProviderError | None = None
    waited_s: float = 0.0
    busy_s: float = 0.0
    latency_s: float = 0.0
    sent_at: float = 0.0
    began_at: float = 0.0
    done_at: float = 0.0
    reply: Reply | None = None
    judgement: Judgement | None = None
    spent: Usage = field(default_factory=Usage)
    below: tuple[AskedModel, ...] = ()

    @property
    def is_paid(self) -> bool:
        """Return True if a call may already have been billed."""
        return self.attempts > 0 or self.reply is not None

    @property
    def is_proved(self) -> bool:
        """Return True if further failures of this request say nothing about its target."""
        return self.blamed or self.excuses >= MOST_EXCUSES

    @property
    def follow_up(self) -> PreparedRequest | None:
        """Return the request that asks for a better answer, if there is one."""
        return self.judgement.follow_up if self.judgement else None

    @property
    def is_asking(self) -> bool:
        """Return True if the follow-up of the last reply was begun and is not answered yet."""
        return self.follow_up is self.request

    def answered(self, reply: Reply, judgement: Judgement) -> None:
        """Store a reply, and add its tokens to `spent`."""
        self.spent += reply.usage
        self.reply, self.judgement = reply, judgement
        self.retries, self.error = 0, None

    def ask(self, follow_up: PreparedRequest) -> None:
        """Continue with a follow-up request, which has attempts of its own."""
        if follow_up.model != self.request.model:
            self._leave_model()
        self.request = follow_up
        self.attempts = self.doubted = self.excuses = 0
        self.blamed = False

    def _leave_model(self) -> None:
        """Add up what the model of the request has cost, before another one is asked."""
        fault = self.judgement.fault if self.judgement else None
        calls = self.exchange().calls_here
        asked = AskedModel(self.request.model, fault.kind if fault else None, calls, self.spent)
        self.below, self.spent = (*self.below, asked), Usage()

    def charge(self, error: ProviderError, *, doubted: bool) -> None:
        """Count a failure. If it is doubted, its attempt may be taken back later."""
        self.retries += 1
        self.attempts += error.costs_attempt
        self.doubted += doubted and error.costs_attempt

    def excuse(self) -> None:
        """Take back the doubted attempts, since the target is away."""
        self.attempts -= self.doubted
        self.doubted = self.retries = 0
        self.excuses += 1
        self.exhausted = False

    def blame(self) -> None:
        """Keep the doubted attempts, since the target has answered other requests."""
        self.doubted = 0
        self.blamed = True

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
            below=self.below,
        )


class RequestQueue:
    """The queue that lanes draw from: new requests in order, and retries whose wait is over.

    The queue holds at most one window of new requests. It ends when all its requests are finished,
    or when it is closed; `on_close` is called then. Requests to a target that is away are kept on
    the target's shelf until they are released. A request that has no attempts left is benched while
    a later call may still show that its target was away. `drop` is called with each request that
    is not given out any more, unless it has a reply.
    """

    on_close: Callable[[], None]

    def __init__(self, lanes: int, drop: Drop = lambda _: None) -> None:
        self.on_close = _nothing
        self._drop = drop
        self._lanes = lanes
        self._shelves: dict[str, deque[Call]] = {}
        self._shelved = 0
        self._benched: dict[Call, None] = {}
        # Requests that were sent before come first, since they may need the most time to finish.
        self._again: deque[Call] = deque()
        self._fresh: deque[Call] = deque()
        # Lanes that wait for a request.
        self._takers: deque[asyncio.Future[None]] = deque()
        self._room = asyncio.Event()
        self._waiting: dict[Call, asyncio.TimerHandle] = {}
        self._unfinished = 0
        self._filled = False
        self._closed = False
        self._only_paid = False
        # Requests with a reply that were left when the queue was closed.
        self._kept: list[Call] = []

    async def fill(self, chunks: Chunks) -> None:
        """Add the chunks, each as soon as there is room for it."""
        async for chunk in chunks:
            if self._closed or self._only_paid:
                for request in chunk:
                    self._drop(request)
                break
            self._unfinished += len(chunk)
            for request in chunk:
                self._put(Call(request))
            while not self._has_room():
                self._room.clear()
                await self._room.wait()
        self._filled = True
        self._close_when_drained()

    async def take(self) -> Call | None:
        """Return the next request to send; None when the queue has ended."""
        while not (self._again or self._fresh):
            if self._closed:
                return None
            await self._until_put()
        call = (self._again or self._fresh).popleft()
        if self._has_room():
            self._room.set()
        return call

    async def _until_put(self) -> None:
        taker = asyncio.get_running_loop().create_future()
        self._takers.append(taker)
        try:
            await taker
        except asyncio.CancelledError:
            if taker.done() and not taker.cancelled():
                # Another lane takes the request for which this one was woken.
                self._wake()
            raise

    def _wake(self) -> None:
        """Wake the lane that has waited longest."""
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def put_back(self, call: Call, delay_s: float) -> None:
        """Return a request to the queue after a delay."""
        if self._closed:
            self._leave(call)
            return
        if self._only_paid and not call.is_paid:
            self._give_up(call)
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._end_wait, call)
        self._waiting[call] = timer

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def is_idle(self) -> bool:
        """Return True if every request is finished, or benched."""
        return self._unfinished <= len(self._benched)

    def retrying(self) -> list[Call]:
        """Return the requests that wait for a retry."""
        return list(self._waiting)

    def shelve(self, call: Call, model: str) -> None:
        """Put a request on its target's shelf until the target answers."""
        if self._closed:
            self._leave(call)
            return
        self._shelves.setdefault(model, deque()).append(call)
        self._shelved += 1

    def shelve_waiting(self, call: Call, model: str) -> None:
        """Shelve a request, if it waits for a retry or is benched."""
        timer = self._waiting.pop(call, None)
        if timer is not None:
            timer.cancel()
        if timer is not None or self._benched.pop(call, call) is None:
            self.shelve(call, model)

    def bench(self, call: Call) -> None:
        """Hold a request back until the cause of its last failure is known."""
        call.exhausted = True
        if self._closed:
            self._leave(call)
            return
        self._benched[call] = None
        self._close_when_drained()

    def unbench(self, call: Call) -> None:
        """Return a request to the queue, if it is benched: its failure was its own fault."""
        if self._benched.pop(call, call) is None:
            self._put(call)

    def has_shelved(self, model: str) -> bool:
        """Return True if a request waits for this target."""
        return bool(self._shelves.get(model))

    def release_one(self, model: str) -> Call | None:
        """Release one request of a shelf, preferably one that has not failed yet."""
        shelf = self._shelves.get(model)
        if not shelf:
            return None
        call = next((call for call in shelf if call.error is None), shelf[0])
        shelf.remove(call)
        self._give_out(call)
        return call

    def release_all(self, model: str) -> None:
        """Release all requests of a shelf, in the order in which they were shelved."""
        for call in self._shelves.pop(model, ()):
            self._give_out(call)

    def _give_out(self, call: Call) -> None:
        self._shelved -= 1
        self._put(call)

    def finish(self) -> None:
        """Count one request as finished."""
        self._unfinished -= 1
        self._close_when_drained()

    def keep_only_paid(self) -> None:
        """Drop all requests that have cost nothing yet."""
        self._only_paid = True
        if self._closed:
            return
        for call in self._take_ready():
            if call.is_paid:
                self._put(call)
            else:
                self._give_up(call)
        for call in [call for call in self._waiting if not call.is_paid]:
            self._waiting.pop(call).cancel()
            self._give_up(call)
        self._room.set()

    def kept_replies(self) -> list[Call]:
        """Return the requests with a reply that were left when the queue was closed."""
        return self._kept

    def drop_shelved(self) -> list[Call]:
        """Remove the requests without a reply from the shelves, and return them."""
        dropped = [call for shelf in self._shelves.values() for call in shelf if not call.reply]
        for shelf in self._shelves.values():
            kept = [call for call in shelf if call.reply]
            shelf.clear()
            shelf.extend(kept)
        self._shelved -= len(dropped)
        return dropped

    def close(self) -> None:
        """Give out no more requests; requests that were not started stay undone."""
        if self._closed:
            return
        self._closed = True
        for call in self._left():
            self._leave(call)
        while self._takers:
            self._wake()
        self._room.set()
        self.on_close()

    def _left(self) -> list[Call]:
        """Remove the requests that are not in a lane, and return them."""
        left = [call for shelf in self._shelves.values() for call in shelf]
        left += [*self._benched, *self._waiting, *self._take_ready()]
        for timer in self._waiting.values():
            timer.cancel()
        for emptied in (self._shelves, self._benched, self._waiting):
            emptied.clear()
        self._shelved = 0
        return left

    def _take_ready(self) -> list[Call]:
        taken = [*self._again, *self._fresh]
        self._again.clear()
        self._fresh.clear()
        return taken

    def _give_up(self, call: Call) -> None:
        self._drop(call.request)
        self.finish()

    def _leave(self, call: Call) -> None:
        """Leave a request unfinished: keep its reply, or drop it."""
        if call.reply is None:
            self._drop(call.request)
        else:
            self._kept.append(call)

    def _end_wait(self, call: Call) -> None:
        del self._waiting[call]
        self._put(call)

    def _put(self, call: Call) -> None:
        (self._again if call.calls else self._fresh).append(call)
        self._wake()

    def _has_room(self) -> bool:
        return self._closed or (
            len(self._again) + len(self._fresh) < self._lanes
            and len(self._waiting) + self._shelved < self._lanes * WAITING_PER_LANE
        )

    def _close_when_drained(self) -> None:
        if not self._filled or self._unfinished > len(self._benched):
            return
        # No call is left that could show the cause of these failures.
        for call in list(self._benched):
            call.blame()
            self.unbench(call)
        if not self._unfinished:
            self.close()


def _nothing() -> None:
    """Do nothing."""
