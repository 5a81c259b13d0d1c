"""What every throw-away server does: take a port, start, answer, and leave nothing behind."""

import os
import random
import shutil
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from itertools import cycle, islice
from pathlib import Path
from typing import Self

from tests.owned_process import OwnedProcess
from tests.waiting import PATIENCE_S, comes_true
from tests.warm_python import start_python

# Below the ports that the system gives to outgoing connections, so that none gets in between.
PORTS = range(15000, 32000)
SHARES = 16
# A server that ends is noticed at once; this is for one that takes long to load.
START_SECONDS = PATIENCE_S
START_ATTEMPTS = 5


class ServerNotStarted(Exception):
    """A server that does not start; the message holds the end of its log."""


def _ports_of_this_process() -> list[int]:
    """Ports that no other process of the same run of tests takes, in a random order."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports = PORTS[int(worker) % SHARES :: SHARES]
    # Not from the seed of the tests, which is the same in processes that run side by side.
    return random.SystemRandom().sample(ports, len(ports))


# Each port is given once: the server that got it may not listen on it yet, or not any more.
_ports = cycle(_ports_of_this_process())


def free_port() -> int:
    """A port on the loopback address that nobody listens on."""
    for port in islice(_ports, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerNotStarted(f"no free port between {PORTS.start} and {PORTS.stop}")


class Server(ABC):
    """A server in a process of its own, on one port for the time of a `with` block."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="threephase-server-"))
        self.port = free_port()
        self._process: OwnedProcess | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._throw_away()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._throw_away()

    @property
    def process(self) -> OwnedProcess:
        if self._process is None:
            raise ServerNotStarted("the server was not started")
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start it and wait until it answers. Another port is taken if somebody was faster."""
        first = self._process is None
        for attempt in range(START_ATTEMPTS):
            self._process = self.launch()
            if self._answers_in_time():
                return
            log = self._process.end_of_output
            self._process.kill()
            if not first or attempt == START_ATTEMPTS - 1:
                break
            self.port = free_port()
        raise ServerNotStarted(f"{type(self).__name__} on port {self.port}:\n{log}")

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: the port is open and nobody answers."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    @abstractmethod
    def launch(self) -> OwnedProcess: ...

    @abstractmethod
    def answers(self) -> bool: ...

    def _answers_in_time(self) -> bool:
        is_decided = comes_true(lambda: not self.running or self.answers(), seconds=START_SECONDS)
        return is_decided and self.running

    def _throw_away(self) -> None:
        if self.running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def run_quietly(*command: str, env: dict[str, str]) -> None:
    """Run a command that should say nothing; raise with what it said if it fails."""
    process = start_python(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    output, _ = process.communicate()
    if process.returncode:
        raise ServerNotStarted(f"{' '.join(command)}:\n{output}")
