"""Run programs as child processes: restart dead ones, stop all in order. Independent of Django.

A single thread waits for output of the children and for signals, and then does what is due.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from batches.management.embedded.child import LONGEST_LINE, Child, Guard, Program

# Seconds between checks whether a child is ready, and whether a child being stopped has ended.
READY_EVERY_S = 0.05
STOPPED_EVERY_S = 0.2
# Wake up at least this often, in case a signal was missed.
LONGEST_WAIT_S = 1.0

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXIT_NOT_CLEAN = 1


class Supervisor:
    """Keep programs running until a stop signal arrives."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        say: Callable[[str, str], None],
        on_ready: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._guard = Guard()
        self._children = [Child(program, guard=self._guard) for program in programs]
        self._say = say
        self._on_ready, self._on_stop = on_ready, on_stop
        self._ranks = sorted({program.rank for program in programs})
        self._highest_started = -1
        self._ready = False
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []

    def run(self) -> int:
        """Run until a stop signal; return the exit status: 0 if no child had to be killed."""
        with ExitStack() as stack:
            stack.callback(self._guard.close)
            stack.callback(self._selector.close)
            stack.callback(self._kill_all)
            stack.enter_context(self._listening_for_signals())
            while not self._signals:
                self._keep_running()
                self._wait(until=self._next_due())
            self._say("serve", "Stopping. Press Ctrl-C again to kill all processes.")
            self._on_stop()
            killed = sum(self._stop(rank) for rank in reversed(self._ranks))
        if len(self._signals) > 1:
            return 128 + self._signals[1]
        return EXIT_NOT_CLEAN if killed else 0

    def _keep_running(self) -> None:
        self._guard.keep_alive()
        for child in self._children:
            if child.ended():
                how = child.obituary()
                self._bury(child)
                delay = child.schedule()
                self._say("serve", f"{child.program.name} {how}; restarting in {delay:g} s")
        self._start_next_rank()
        for child in self._children:
            due = child.process is None and child.start_at <= time.monotonic()
            if due and self._ranks.index(child.program.rank) <= self._highest_started:
                self._start(child)

    def _start_next_rank(self) -> None:
        if self._ready or not self._started_ones_ready():
            return
        if self._highest_started + 1 < len(self._ranks):
            self._highest_started += 1
            return
        self._ready = True
        self._on_ready()

    def _started_ones_ready(self) -> bool:
        started = self._ranks[: self._highest_started + 1]
        return all(child.ready() for child in self._children if child.program.rank in started)

    def _start(self, child: Child) -> None:
        try:
            child.start()
        except OSError as error:
            delay = child.schedule()
            message = f"{child.program.name} cannot be started: {error}; retrying in {delay:g} s"
            self._say("serve", message)
            return
        if child.output is not None:
            self._selector.register(child.output, selectors.EVENT_READ, child)

    def _next_due(self) -> float:
        now = time.monotonic()
        due = [child.start_at for child in self._children if child.process is None]
        if not self._ready:
            due.append(now + READY_EVERY_S)
        return min([now + LONGEST_WAIT_S, *(at for at in due if at > now)])

    def _wait(self, *, until: float) -> None:
        """Wait for output or a signal, up to a time; pass on the output."""
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            if isinstance(key.data, Child):
                self._pass_on(key.data)
            elif isinstance(key.fileobj, socket.socket):
                key.fileobj.recv(4096)

    def _pass_on(self, child: Child) -> bool:
        """Print output of a child; return True if there may be more."""
        if child.output is None:
            return False
        try:
            data = os.read(child.output, LONGEST_LINE)
        except BlockingIOError:
            return False
        for line in child.lines.feed(data):
            self._say(child.program.name, line)
        if not data:
            with suppress(KeyError):
                self._selector.unregister(child.output)
        return bool(data)

    def _bury(self, child: Child) -> None:
        # Survivors of its process group would keep the pipe open and could write forever.
        child.signal(signal.SIGKILL)
        while self._pass_on(child):
            pass
        for line in child.lines.feed(b""):
            self._say(child.program.name, line)
        if child.output is not None:
            with suppress(KeyError):
                self._selector.unregister(child.output)
        child.forget()

    def _stop(self, rank: int) -> int:
        """Stop the children of one rank; return the number that had to be killed."""
        children = [c for c in self._children if c.program.rank == rank and c.process]
        for child in children:
            child.signal(signal.SIGTERM)
        begun = time.monotonic()
        killed: list[Child] = []
        while children:
            for child in children:
                if child.ended():
                    self._bury(child)
                elif child not in killed and self._out_of_patience(child, since=begun):
                    killed.append(child)
                    child.signal(signal.SIGKILL)
            children = [child for child in children if child.process]
            if children:
                self._guard.keep_alive()
                self._wait(until=time.monotonic() + STOPPED_EVERY_S)
        return len(killed)

    def _out_of_patience(self, child: Child, *, since: float) -> bool:
        if len(self._signals) > 1:
            return True
        program = child.program
        late = time.monotonic() >= since + program.grace_s
        if late:
            grace = f"{program.grace_s:g} s"
            self._say("serve", f"{program.name} did not stop within {grace}; killing it")
        return late

    def _kill_all(self) -> None:
        for child in self._children:
            child.forget()

    @contextmanager
    def _listening_for_signals(self) -> Iterator[None]:
        """Wake up at each signal; collect the stop signals."""
        with ExitStack() as stack:
            reader, writer = (stack.enter_context(end) for end in socket.socketpair())
            reader.settimeout(0)
            writer.settimeout(0)
            self._selector.register(reader, selectors.EVENT_READ)
            stack.callback(self._selector.unregister, reader)
            stack.callback(
                signal.set_wakeup_fd,
                signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False),
            )
            for number in STOP_SIGNALS:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # nohup
                previous = signal.signal(number, lambda number, _: self._signals.append(number))
                stack.callback(signal.signal, number, previous)
            # The end of a child wakes up this loop too.
            previous = signal.signal(signal.SIGCHLD, lambda *_: None)
            stack.callback(signal.signal, signal.SIGCHLD, previous)
            yield
