"""A worker that finds its work in the database, and needs neither a broker nor another process.

It polls for batches and runs them in threads; it sweeps and delivers webhooks as well. Any number
of these workers may run, also beside workers that are rung for.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from django.db import Error, close_old_connections
from django.db.models import Q

from batches.conf import conf
from batches.database import connection
from batches.intake.reading import to_read
from batches.lifecycle import BatchStatus
from batches.models import Batch
from batches.runner.turns import next_turn, take_turn
from batches.stop_signal import StopSignal
from batches.webhooks.deliveries import DELIVERIES_NOW, MAX_MESSAGES, deliver
from batches.workers.doorbells import Task
from batches.workers.messages import answered_by
from batches.workers.sweeper import sweep

logger = logging.getLogger(__name__)

POLL_S = 1.0
# Random, so that many workers do not poll at the same moment.
JITTER = 0.5
LONGEST_POLL_S = 5.0
# A batch that was handed out is waited for this long, until its slot is taken and it is seen so.
SETTLE_S = 0.1


class Rests:
    """The batches that are left alone for a while, since their last turn was short or had no work.

    Each turn in a row without work doubles the time.
    """

    def __init__(self, longest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._lock = threading.Lock()
        # The end of each rest, and the length of it.
        self._rests: dict[int, tuple[float, float]] = {}

    def begin(self, batch_id: int, *, worked: bool) -> None:
        """Let a batch rest from now on."""
        with self._lock:
            _, last = self._rests.get(batch_id, (0.0, 0.0))
            length = POLL_S if worked or not last else min(2 * last, self._longest_s)
            self._rests[batch_id] = self._clock() + length, length

    def resting(self) -> list[int]:
        """Return the batches that rest; forget the ones that have rested for long."""
        now = self._clock()
        with self._lock:
            self._rests = {
                pk: (end, length)
                for pk, (end, length) in self._rests.items()
                if now < end + 2 * length
            }
            return [pk for pk, (end, _) in self._rests.items() if now < end]

    def has_short(self) -> bool:
        """Return True if a batch rests that may have work again after its first rest."""
        now = self._clock()
        with self._lock:
            return any(now < end and length <= POLL_S for end, length in self._rests.values())


class PollingWorker:
    """Runs batches in threads until a stop is requested; with `until_idle`, until none can be run.

    It is its own doorbell: it wakes at once for work that comes up in this process.
    """

    def __init__(self, *, threads: int, stop: StopSignal, until_idle: bool = False) -> None:
        self._threads = threads
        self._stop = stop
        self._until_idle = until_idle
        # Safe in signal handlers, unlike an event or a condition.
        self._bells: SimpleQueue[tuple[Task, int] | None] = SimpleQueue()
        # In the order of their bells, each once.
        self._asked: dict[int, None] = {}
        self._due: dict[int, None] = {}
        self._turns: set[Future[Any]] = set()
        self._deliveries: set[Future[Any]] = set()
        self._sweeps: set[Future[Any]] = set()
        self._swept_at = float("-inf")
        self._rests = Rests(conf().SWEEP_SECONDS)
        self._last: tuple[int, float] | None = None
        self._failures = 0

    def ring(self, task: Task, pk: int) -> None:
        """Wake up for a batch or a delivery. It may be called from any thread."""
        self._bells.put((task, pk))

    def run(self) -> None:
        """Work. Return when everything that this worker had in hand is stored and released."""
        with (
            ThreadPoolExecutor(
                # Sweeps and deliveries wait for no batch.
                self._threads + DELIVERIES_NOW.at_most + 1,
                thread_name_prefix="work",
            ) as pool,
            answered_by(self),
            self._stop.heard_by(lambda: self._bells.put(None)),
        ):
            while not self._stop.requested:
                wait_s = self._hand_out(pool)
                if wait_s is None:
                    return
                self._listen(wait_s)

    def _hand_out(self, pool: ThreadPoolExecutor) -> float | None:
        """Start all that can be started; return the seconds to wait, or None at the end."""
        began_at = time.monotonic()
        try:
            self._begin_sweep(pool)
            self._begin_deliveries(pool)
            wait_s = self._begin_turns(pool)
        except Error as error:
            self._failures += 1
            wait_s = min(POLL_S * self._failures, LONGEST_POLL_S)
            logger.warning("No work was found, trying again in %.0f s: %s", wait_s, error)
            connection.close()
            return wait_s
        self._failures = 0
        if wait_s is not None:
            return wait_s
        if self._until_idle and self._is_idle():
            return None
        # Polling takes a tenth of the time at most, also where it is slow.
        pause_s = max(POLL_S, 10 * (time.monotonic() - began_at))
        return pause_s * (1 + JITTER * random.random())

    def _is_idle(self) -> bool:
        if self._turns or self._deliveries or self._sweeps or self._due:
            return False
        return self._bells.empty() and not self._rests.has_short()

    def _begin_sweep(self, pool: ThreadPoolExecutor) -> None:
        if not self._sweeps and time.monotonic() - self._swept_at >= conf().SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._start(pool, self._sweeps, partial(sweep, partial(self.ring, "run_batch")))

    def _begin_deliveries(self, pool: ThreadPoolExecutor) -> None:
        while self._due and len(self._deliveries) < DELIVERIES_NOW.at_most:
            pk = next(iter(self._due))
            del self._due[pk]
            self._start(pool, self._deliveries, partial(deliver, pk))

    def _begin_turns(self, pool: ThreadPoolExecutor) -> float | None:
        """Begin turns while threads are free; return the seconds to wait if more may follow."""
        while len(self._turns) < self._threads:
            batch_id = self._next_batch()
            if batch_id is None:
                return None
            now = time.monotonic()
            if self._last and self._last[0] == batch_id and now - self._last[1] < SETTLE_S:
                return SETTLE_S
            self._last = batch_id, now
            self._asked.pop(batch_id, None)
            self._start(pool, self._turns, partial(self._take_turn, batch_id))
        return None

    def _next_batch(self) -> int | None:
        if self._asked:
            return next(iter(self._asked))
        resting = self._rests.resting()
        cancelling = Q(status=BatchStatus.CANCELLING)
        waiting = (to_read() | Batch.objects.filter(cancelling)).exclude(pk__in=resting)
        first = waiting.order_by("pk").values_list("pk", flat=True).first()
        return next_turn(besides=resting) if first is None else first

    def _take_turn(self, batch_id: int) -> None:
        began_at, worked = time.monotonic(), False
        try:
            worked = take_turn(batch_id, self._stop)
        finally:
            if not worked or time.monotonic() - began_at < POLL_S:
                self._rests.begin(batch_id, worked=worked)

    def _start(
        self, pool: ThreadPoolExecutor, running: set[Future[Any]], job: Callable[[], object]
    ) -> None:
        future = pool.submit(_surely, job)
        running.add(future)
        future.add_done_callback(lambda ended: self._end(running, ended))

    def _end(self, running: set[Future[Any]], ended: Future[Any]) -> None:
        running.discard(ended)
        self._bells.put(None)

    def _listen(self, wait_s: float) -> None:
        """Wait for a bell, and take all that have rung."""
        try:
            bell = self._bells.get(timeout=wait_s)
            while True:
                self._note(bell)
                bell = self._bells.get_nowait()
        except Empty:
            pass

    def _note(self, bell: tuple[Task, int] | None) -> None:
        if bell is None:
            return
        task, pk = bell
        noted = self._asked if task == "run_batch" else self._due
        # The sweeper finds the others.
        if len(noted) < MAX_MESSAGES:
            noted[pk] = None


def _surely(job: Callable[[], object]) -> None:
    """Do a job in a thread of the pool; log its error, and leave no connection open."""
    try:
        job()
    except Exception:
        logger.exception("A task of this worker failed")
    finally:
        close_old_connections()
