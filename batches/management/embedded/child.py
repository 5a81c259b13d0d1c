"""One program as a child process: its output, its end, when it starts again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
# A child that ran so long was healthy: its next death is the first again.
HEALTHY_S = 60.0

# How long a child may take to become ready before nobody waits for it any more.
READY_S = 10.0

LONGEST_LINE = 64 * 1024


def always_ready() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Program:
    """What is to run. Ranks start from the lowest and stop from the highest."""

    name: str
    command: Sequence[str]
    rank: int = 0
    grace_s: float = 10.0
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    pass_fds: Sequence[int] = ()
    ready: Callable[[], bool] = always_ready

    def with_descriptor(self, descriptor: int) -> "Program":
        """The same, with one more open file of ours."""
        return replace(self, pass_fds=(*self.pass_fds, descriptor))


class Lines:
    """Bytes as they come become lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that these bytes complete; without bytes, what is left."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > LONGEST_LINE):
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            yield line.rstrip(b"\r").decode(errors="replace")


class Guard:
    """The process that kills the groups it knows of when this one is gone."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process = self._start()

    def add(self, group: int) -> None:
        self._groups.add(group)
        self._tell(f"+{group}\n")

    def discard(self, group: int) -> None:
        self._groups.discard(group)
        self._tell(f"-{group}\n")

    def keep_alive(self) -> None:
        """Start it anew if it was killed."""
        if self._process.poll() is not None:
            self._process = self._start()
            self._tell("".join(f"+{group}\n" for group in self._groups))

    def close(self) -> None:
        """Let it end; it kills what it still knows of."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", str(GUARD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    def _tell(self, text: str) -> None:
        if self._process.stdin:
            # A guard that was killed is told everything when it is started anew.
            with suppress(BrokenPipeError):
                self._process.stdin.write(text.encode())


class Child:
    """A program and the process that runs it, if there is one now."""

    def __init__(self, program: Program, *, guard: Guard) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at = 0.0
        self._guard = guard
        self._started_at = 0.0
        self._delay_s = FIRST_DELAY_S / 2
        self._is_ready = False
        self.lines = Lines()

    @property
    def output(self) -> int | None:
        """The descriptor of the pipe that its output comes from."""
        if self.process is None or self.process.stdout is None:
            return None
        return self.process.stdout.fileno()

    def start(self) -> None:
        """Start it in a session of its own, so that a Ctrl-C reaches the supervisor alone."""
        program = self.program
        self._started_at = time.monotonic()
        self._is_ready = False
        self.lines = Lines()
        self.process = subprocess.Popen(  # noqa: S603 - the commands are the caller's
            program.command,
            env=None if program.env is None else dict(program.env),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
            pass_fds=tuple(program.pass_fds),
        )
        self._guard.add(self.process.pid)
        if self.process.stdout:
            os.set_blocking(self.process.stdout.fileno(), False)

    def ready(self) -> bool:
        """Whether it has become ready, or has had its time to become so."""
        if self.process is None:
            return False
        if not self._is_ready:
            late = time.monotonic() > self._started_at + READY_S
            self._is_ready = late or self.program.ready()
        return self._is_ready

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def obituary(self) -> str:
        """How it ended and after what time."""
        status = self.process.returncode if self.process else 0
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else ""
        return f"{how or f'ended with status {status}'} after {self._ran_s():.1f} s"

    def forget(self) -> None:
        """Let go of an ended process, and end what it has left of its group."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._guard.discard(self.process.pid)
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def schedule(self) -> float:
        """Set when it starts again; return in how many seconds."""
        healthy = self._ran_s() >= HEALTHY_S
        self._delay_s = FIRST_DELAY_S if healthy else min(self._delay_s * 2, LONGEST_DELAY_S)
        self.start_at = time.monotonic() + self._delay_s
        return self._delay_s

    def signal(self, number: int) -> None:
        """Send a signal to the process; a SIGKILL to its whole group."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            elif self.process.poll() is None:
                os.kill(self.process.pid, number)

    def _ran_s(self) -> float:
        return time.monotonic() - self._started_at
