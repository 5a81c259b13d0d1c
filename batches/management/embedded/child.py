"""A program as a child process: its output, its exit and its restart."""

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
# A child that ran this long was healthy: its restart delay starts again from the shortest.
HEALTHY_S = 60.0

# After this time a child counts as ready, so that the next rank can start.
READY_S = 10.0

LONGEST_LINE = 64 * 1024


def always_ready() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run. Ranks start from the lowest and stop from the highest."""

    name: str
    command: Sequence[str]
    rank: int = 0
    grace_s: float = 10.0
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    pass_fds: Sequence[int] = ()
    ready: Callable[[], bool] = always_ready

    def with_descriptor(self, descriptor: int) -> "Program":
        """Return a copy that inherits one more open file of this process."""
        return replace(self, pass_fds=(*self.pass_fds, descriptor))


class Lines:
    """Split a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that these bytes complete; without bytes, yield the rest."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > LONGEST_LINE):
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            yield line.rstrip(b"\r").decode(errors="replace")


class Guard:
    """A process that kills the known process groups when this process is gone."""

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
        """Restart the guard if it was killed."""
        if self._process.poll() is not None:
            self._process = self._start()
            self._tell("".join(f"+{group}\n" for group in self._groups))

    def close(self) -> None:
        """End the guard, which kills the groups that are still registered."""
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
            # If the guard was killed, its restart sends all groups again.
            with suppress(BrokenPipeError):
                self._process.stdin.write(text.encode())


class Child:
    """A program and the process that runs it, if any."""

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
        """Return the descriptor of the pipe with the output of the process."""
        if self.process is None or self.process.stdout is None:
            return None
        return self.process.stdout.fileno()

    def start(self) -> None:
        """Start the process in its own session, so that Ctrl-C reaches only the supervisor."""
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
        """Return True if the process is ready, or if READY_S have passed since its start."""
        if self.process is None:
            return False
        if not self._is_ready:
            late = time.monotonic() > self._started_at + READY_S
            self._is_ready = late or self.program.ready()
        return self._is_ready

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def obituary(self) -> str:
        """Describe how the process ended and how long it ran."""
        status = self.process.returncode if self.process else 0
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else ""
        return f"{how or f'ended with status {status}'} after {self._ran_s():.1f} s"

    def forget(self) -> None:
        """Release an ended process, and kill the rest of its process group."""
        if self.process is None:
            return
        self.signal(signal.SIGKILL)
        self.process.wait()
        self._guard.discard(self.process.pid)
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None

    def schedule(self) -> float:
        """Schedule the restart; return the delay in seconds."""
        healthy = self._ran_s() >= HEALTHY_S
        self._delay_s = FIRST_DELAY_S if healthy else min(self._delay_s * 2, LONGEST_DELAY_S)
        self.start_at = time.monotonic() + self._delay_s
        return self._delay_s

    def signal(self, number: int) -> None:
        """Send a signal to the process; send SIGKILL to its whole group."""
        if self.process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            elif self.process.poll() is None:
                os.kill(self.process.pid, number)

    def _ran_s(self) -> float:
        return time.monotonic() - self._started_at
