"""A command on a terminal of its own, as a person types at it."""

import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.system_tools import system_tool

CTRL_C = "\x03"
DEADLINE_S = 120.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command whose three streams are a terminal of this width; use it in a `with`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        width: int,
        env: Mapping[str, str],
        folder: Path,
        stdout: int | None = None,
    ) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        plain = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES"}}
        # So that Ctrl-C becomes a signal of the terminal.
        setsid = system_tool("setsid", package="util-linux")
        self.process = subprocess.Popen(
            [setsid, "--ctty", *command],
            env={**plain, "TERM": "xterm"},
            cwd=folder,
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
        )
        os.close(theirs)
        self._seen = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 65536):
                self._seen += data
        except OSError:
            # The other side has closed the terminal.
            return

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ended(self) -> int:
        """Wait for the end; return the status."""
        status = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return status

    @property
    def screen(self) -> str:
        """What it has painted so far, without control codes."""
        return _CONTROL.sub("", self._seen.decode(errors="replace"))

    @property
    def lines(self) -> list[str]:
        """The lines with text that were painted, also those that were painted over later."""
        painted = self.screen.replace("\r", "\n").splitlines()
        return [line.rstrip() for line in painted if line.strip()]
