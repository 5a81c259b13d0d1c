"""Wait for targets that are away: shelve their requests, and send one of them as a probe.

a call fails --> liveness.py: whose fault? --> the target's --> shelf --> probe --> answered
                                                                 ^          |
                                                                 +--fails---+
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, cast

from batches.engine.errors import DeadlineExceeded, ProviderError
from batches.engine.liveness import (
    Away,
    Blame,
    Liveness,
    Patience,
    shows_life,
    suspicion_of,
)
from batches.engine.request_queue import Call, RequestQueue

# The length of a model's name on the board; longer names are cut.
MAX_NAME_CHARS = 255
# Number of targets that are tracked separately; a batch may name any number of models.
MOST_TARGETS = 1000
# A probe times out after this long, the next one that hangs after twice as long, and so on up to
# the timeout of any call: a target that hung may be back long before that.
PROBE_TIMEOUT_S = 30.0
# A lane waits at most this long to learn the cause of a failure, before the next attempt.
DECISION_S = 0.5


class Board(Protocol):
    """Shares outages and probes between the runners of one provider."""

    async def claim_probe(self, model: str, /) -> bool:
        """Return True if this runner may send the next probe now."""

    async def tell(self, model: str, away: Away | None, /) -> None:
        """Publish an outage, a failed probe, or (None) that the target answers."""


class NoBoard:
    """The board of a single runner."""

    async def claim_probe(self, _model: str) -> bool:
        """Return True: no other runner probes."""
        return True

    async def tell(self, _model: str, _away: Away | None) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class SharedOutages:
    """The outages on the board, by model, and when the board was read (monotonic)."""

    away: Mapping[str, Away]
    read_at: float

    def of(self, model: str) -> Away | None:
        """Return the outage of a model; the board cuts long names."""
        return self.away.get(model[:MAX_NAME_CHARS])


@dataclass(slots=True)
class Target:
    """One model of the provider, as this run knows it.

    `probe` is the request that may be sent although the target is away. `judged` has the calls
    whose lanes wait to learn the cause of a failure; each event is set when the cause is known, or
    when no call in flight can show it.
    """

    model: str
    liveness: Liveness
    probe: Call | None = None
    # Number of probes in a row that timed out.
    hung: int = 0
    # The outage as the board has it, and since when (monotonic).
    published: Away | None = None
    published_at: float = float("-inf")
    judged: dict[Call, asyncio.Event] = field(default_factory=dict)

    @property
    def away(self) -> Away | None:
        return self.liveness.away

    def must_wait(self, call: Call) -> bool:
        """Return True if a request may not be sent now."""
        return self.away is not None and call is not self.probe

    def judge(self, call: Call) -> None:
        """Wake the lane that waits to learn why a call failed."""
        if call in self.judged:
            self.judged[call].set()

    def judge_all(self) -> None:
        """Wake all lanes that wait."""
        for event in self.judged.values():
            event.set()

    def refresh(self) -> None:
        """Wake the lanes that wait if there is nothing left to wait for."""
        if self.away is not None or not self.liveness.is_undecided:
            self.judge_all()

    def postpone(self, now: float) -> None:
        """Delay the next probe, since another runner probes now."""
        is_published = self.published is self.away
        self.liveness.postpone(now)
        if is_published:
            self.published = self.away

    def contradicts(self, shared: SharedOutages) -> bool:
        """Return True if other runners have found that this target answers."""
        settled = self.published is not None and self.published is self.away
        # While a probe of this run hangs, its row on the board expires. That does not mean that the
        # target answers.
        return (
            settled
            and self.probe is None
            and shared.read_at > self.published_at
            and shared.of(self.model) is None
        )


class OutageWatch:
    """Watches the targets of a run. The run reports when each request is sent and when it ends."""

    def __init__(self, board: Board | None, patience: Patience) -> None:
        self._board = board or NoBoard()
        self._patience = patience
        self._targets: dict[str, Target] = {}
        self._queue = RequestQueue(0)
        self._shared = SharedOutages({}, read_at=float("-inf"))
        self._stopped = False
        # Set when there may be something to do for a target.
        self._bell = asyncio.Event()

    def begin(self, queue: RequestQueue) -> None:
        """Keep the requests that must wait in this queue from now on."""
        self._queue = queue
        queue.on_close = self._bell.set

    def stop(self) -> None:
        """Wake all lanes that wait for a decision."""
        self._stopped = True
        for target in self._targets.values():
            target.judge_all()

    def away(self) -> list[Target]:
        """Return the targets that are away."""
        return [target for target in self._targets.values() if target.away is not None]

    def must_wait(self, call: Call) -> bool:
        """Return True if a request may not be sent now."""
        return self._of(call).must_wait(call)

    def time_limit(self, call: Call, timeout_s: float) -> float:
        """Return the timeout of a call in seconds; the first probes have a shorter one."""
        target = self._of(call)
        if call is not target.probe:
            return timeout_s
        return float(min(timeout_s, PROBE_TIMEOUT_S * 2.0 ** min(target.hung, 30)))

    def began(self, call: Call) -> None:
        """Record that a call is sent."""
        target = self._of(call)
        target.liveness.began(call, call.began_at)

    def answered(self, call: Call) -> None:
        """Record that the target of a call has answered it."""
        target = self._of(call)
        was_away = target.away is not None
        for proved in target.liveness.answered(call):
            blame = cast("Call", proved)
            blame.blame()
            target.judge(blame)
            self._queue.unbench(blame)
        target.refresh()
        if was_away and target.away is None:
            self._end_outage(target)
        elif was_away:
            # The call was sent before the outage and answered: the target may be back soon.
            target.liveness.hasten(call.done_at)
            self._bell.set()

    async def blame(self, call: Call, error: ProviderError) -> Blame:
        """Return the cause of an error; wait briefly if a call in flight can show the cause."""
        target = self._of(call)
        suspicion = suspicion_of(error)
        if shows_life(error):
            self.answered(call)
            return Blame.PROMPT
        if suspicion is None:
            target.liveness.forget(call)
            target.refresh()
            return Blame.PROMPT
        now = time.monotonic()
        blame = target.liveness.failed(call, error, suspicion, proved=call.is_proved, now=now)
        if blame is Blame.TARGET:
            self._excuse(target)
        target.refresh()
        if blame is not Blame.OPEN:
            return blame
        if target.liveness.is_undecided and not self._stopped:
            await _set_soon(target.judged.setdefault(call, asyncio.Event()))
            del target.judged[call]
        if target.away is not None:
            return Blame.TARGET
        return Blame.PROMPT if call.is_proved else Blame.OPEN

    def failed(self, call: Call, error: ProviderError) -> float:
        """Record that a request must wait for its target.

        For a probe, return how long the target has been away, in seconds, and delay the next probe.
        Return 0 for any other request.
        """
        target, now = self._of(call), time.monotonic()
        away = target.away
        if call is not target.probe or away is None:
            return 0.0
        target.probe = None
        target.hung = target.hung + 1 if isinstance(error, DeadlineExceeded) else 0
        target.liveness.probe_failed(error, now)
        return now - away.since

    def shelve(self, call: Call) -> None:
        """Shelve a request until its target answers; release it at once if there is no outage."""
        target = self._of(call)
        self._queue.shelve(call, target.model)
        if target.away is None:
            self._queue.release_all(target.model)
        self._bell.set()

    def release(self, call: Call) -> None:
        """Forget a request that will not be sent again."""
        target = self._of(call)
        if call is target.probe:
            target.probe = None
            self._bell.set()

    def make_room(self) -> None:
        """Give up the probes that have cost nothing yet."""
        for target in self._targets.values():
            if target.probe is not None and not target.probe.is_paid:
                target.probe = None

    def apply_shared(self, shared: SharedOutages) -> None:
        """Apply what other runners have found out."""
        self._shared = shared
        for target in self._targets.values():
            self._apply_shared(target, shared)

    def _apply_shared(self, target: Target, shared: SharedOutages) -> None:
        away = shared.of(target.model)
        if away is not None and target.probe is None and shared.read_at > target.published_at:
            target.liveness.begin_outage(away, time.monotonic())
            target.published, target.published_at = away, shared.read_at
            self._excuse(target)
        elif target.contradicts(shared):
            self._reopen(target)
            target.published, target.published_at = None, shared.read_at

    async def tend(self) -> None:
        """Publish changes to the board, and send the probes that are due, until the queue ends."""
        while not self._queue.is_closed:
            self._bell.clear()
            for target in list(self._targets.values()):
                await self._tell(target)
                await self._probe(target)
            await self._wait_for_bell()
        for target in list(self._targets.values()):
            await self._tell(target)

    def _of(self, call: Call) -> Target:
        return self._target(call.request.model)

    def _target(self, model: str) -> Target:
        """Return the target with this model; targets beyond MOST_TARGETS count as one."""
        if model not in self._targets and len(self._targets) >= MOST_TARGETS:
            model = ""
        if model not in self._targets:
            self._targets[model] = Target(model, Liveness(self._patience))
            self._apply_shared(self._targets[model], self._shared)
        return self._targets[model]

    def _excuse(self, target: Target) -> None:
        """Take back the attempts that prompts were charged, since their target is away."""
        for excused in target.liveness.excused():
            call = cast("Call", excused)
            call.excuse()
            self._queue.shelve_waiting(call, target.model)
        target.refresh()
        self._bell.set()

    def _reopen(self, target: Target) -> None:
        target.liveness.end_outage(time.monotonic())
        self._end_outage(target)

    def _end_outage(self, target: Target) -> None:
        """Release the requests that wait for a target, since the target answers."""
        target.probe = None
        target.hung = 0
        target.refresh()
        self._queue.release_all(target.model)
        self._bell.set()

    async def _tell(self, target: Target) -> None:
        away = target.away
        if away is not target.published:
            await self._board.tell(target.model, away)
            target.published, target.published_at = away, time.monotonic()

    async def _probe(self, target: Target) -> None:
        away, now = target.away, time.monotonic()
        if away is None or target.probe is not None:
            return
        if now >= away.next_probe and self._queue.has_shelved(target.model):
            if not await self._board.claim_probe(target.model):
                target.postpone(time.monotonic())
            elif target.away is not None:
                target.probe = self._queue.release_one(target.model)

    async def _wait_for_bell(self) -> None:
        """Wait until there may be something to do for a target."""
        now = time.monotonic()
        due = (
            target.away.next_probe
            for target in self._targets.values()
            if target.away and not target.probe and self._queue.has_shelved(target.model)
        )
        wait_s = min((max(at - now, 0.0) for at in due), default=None)
        try:
            async with asyncio.timeout(wait_s):
                await self._bell.wait()
        except TimeoutError:
            pass


async def _set_soon(event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(DECISION_S):
            await event.wait()
