"""Requests on their way: what each call of them has cost so far, and whose turn is next."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from batches.engine.errors import ProviderError
from batches.engine.records import Exchange, Judgement, PreparedRequest, Reply, Usage

Chunks = AsyncIterator[Sequence[PreparedRequest]]

# Requests that wait for a retry, per lane. When so many wait, no fresh request is begun, so that
# memory and leases stay bounded while a provider is down.
WAITING_PER_LANE = 10


@dataclass(slots=True, eq=False)
class Call:
    """A request on its way, with what its calls so far have cost. Times in seconds."""

    request: PreparedRequest
    calls: int = 0
    attempts: int = 0
    waited_s: float = 0.0
    busy_s: float = 0.0
    latency_s: float = 0.0
    sent_at: float = 0.0
    began_at: float = 0.0
    done_at: float = 0.0
    reply: Reply | None = None
    judgement: Judgement | None = None
    spent: Usage = field(default_factory=Usage)

    @property
    def is_paid(self) -> bool:
        """Whether a call of it may have cost something, so that beginning anew costs it again."""
        return self.attempts > 0 or self.reply is not None

    @property
    def follow_up(self) -> PreparedRequest | None:
        """The request that asks for a better answer than what came."""
        return self.judgement.follow_up if self.judgement else None

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
        self._ready: asyncio.Queue[Call | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._waiting: dict[Call, asyncio.TimerHandle] = {}
        self._unfinished = 0
        self._filled = False
        self._closed = False
        self._only_paid = False

    async def fill(self, chunks: Chunks) -> None:
        """Take in the chunks, each when there is room for it."""
        async for chunk in chunks:
            if self._closed:
                return
            self._unfinished += len(chunk)
            for request in chunk:
                self._ready.put_nowait(Call(request))
            while not self._has_room():
                self._room.clear()
                await self._room.wait()
        self._filled = True
        self._close_when_drained()

    async def take(self) -> Call | None:
        """The next request to send; None when there will be no more."""
        while True:
            call = await self._ready.get()
            if self._has_room():
                self._room.set()
            if call is None or call.is_paid or not self._only_paid:
                return call
            self.finish()

    def put_back(self, call: Call, delay_s: float) -> None:
        """Have a request drawn again after a wait."""
        if self._only_paid and not call.is_paid:
            self.finish()
            return
        timer = asyncio.get_running_loop().call_later(delay_s, self._end_wait, call)
        self._waiting[call] = timer

    def finish(self) -> None:
        """Count one request as finished."""
        self._unfinished -= 1
        self._close_when_drained()

    def keep_only_paid(self) -> None:
        """Give out nothing any more that has cost nothing yet."""
        self._only_paid = True
        for call in [call for call in self._waiting if not call.is_paid]:
            self._waiting.pop(call).cancel()
            self.finish()

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

    def _end_wait(self, call: Call) -> None:
        del self._waiting[call]
        if not self._closed:
            self._ready.put_nowait(call)

    def _has_room(self) -> bool:
        return self._closed or (
            self._ready.qsize() < self._lanes
            and len(self._waiting) < self._lanes * WAITING_PER_LANE
        )

    def _close_when_drained(self) -> None:
        if self._filled and not self._unfinished:
            self.close()
