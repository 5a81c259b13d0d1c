"""Processes that a test starts and that never outlive it, however the test ends."""

import os
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.waiting import PATIENCE_S, wait_until
from tests.warm_python import start_python

STOP_SECONDS = PATIENCE_S
LOG_LINES_SHOWN = 60
MOST_OUTPUT = 2**24


class OwnedProcess:
    """A process in a group of its own, with its output in a file.

    A guard waits beside it for the end of this process: it reads from a pipe that only we hold
    open, so it kills the group even when we are killed ourselves.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
    ) -> None:
        # A file without a name: nobody has to remove it.
        self._log, name = tempfile.mkstemp()
        Path(name).unlink()
        weakref.finalize(self, os.close, self._log)
        self.popen = start_python(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
        )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _; kill -s KILL -- "-$0"', str(self.popen.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        return self.popen.poll() is None

    @property
    def output(self) -> str:
        """What it has printed so far."""
        # Not read(): that would move the place where the process writes.
        return os.pread(self._log, MOST_OUTPUT, 0).decode(errors="replace")

    @property
    def end_of_output(self) -> str:
        return "\n".join(self.output.splitlines()[-LOG_LINES_SHOWN:])

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to its whole group; harmless if it has ended."""
        if not self.running:
            return
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.popen.pid, number)

    def pause(self) -> None:
        """Stop it; each of its threads has stopped by then, not only been told to."""
        self.signal(signal.SIGSTOP, group=True)
        wait_until(self._is_paused, "the stop of its threads")

    def _is_paused(self) -> bool:
        threads = Path(f"/proc/{self.popen.pid}/task").glob("*/stat")
        try:
            # The state follows the name, which is in brackets; T is stopped.
            return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)
        except (FileNotFoundError, ProcessLookupError):
            # A thread has ended in between.
            return False

    def resume(self) -> None:
        self.signal(signal.SIGCONT, group=True)

    def terminate(self) -> None:
        """Ask it to end, with a SIGTERM to the process that we started alone."""
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children with SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL, group=True)
        self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; the exit status. Raises subprocess.TimeoutExpired."""
        status = self.popen.wait(seconds)
        self._dismiss_guard()
        return status

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        self._guard.wait(STOP_SECONDS)
        if self._guard.stdin:
            self._guard.stdin.close()
