"""The command line: what tests give to manage.py and get from it, and manage.py in this process."""

import gc
import json
import logging
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TextIO

import pytest

from batches.management.bulk.interrupts import SIGNALS
from batches.workers.doorbells import RINGING
from manage import main
from simulator import SimulatedProvider
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
MANAGE = ROOT / "manage.py"

# Messages that are searched for must not be wrapped.
WIDE = {"COLUMNS": "200"}


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class Commands(ABC):
    """Runs `manage.py` over one folder, against a simulated provider."""

    def __init__(self, folder: Path, simulator: SimulatedProvider, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.env = {**env, **WIDE}
        self._simulator = simulator

    @property
    def to_simulator(self) -> list[str]:
        return ["--base-url", self._simulator.base_url, "--model", "simulated-small"]

    def path(self, name: str, content: str | bytes | None = None) -> str:
        """Return the path of a file in the folder; write the file if there is content for it."""
        path = self.folder / name
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    @abstractmethod
    def run(self, *arguments: str, stdin: str | None = None) -> Finished:
        """Run a command to its end."""

    def process_batch(
        self, *arguments: str, name: str | None = "prompts.jsonl", stdin: str | None = None
    ) -> Finished:
        """Run process_batch over a file against the simulated provider, into out.jsonl."""
        return self.run(*self.arguments(*arguments, name=name), stdin=stdin)

    def arguments(self, *arguments: str, name: str | None = "prompts.jsonl") -> Sequence[str]:
        """Return the arguments of such a run."""
        given = [] if name is None else [name if name == "-" else self.path(name)]
        own = {"--base-url", "--resume", "--retry"} & set(arguments)
        target = [] if own else self.to_simulator
        output = ["--output", self.path("out.jsonl"), "--overwrite"]
        output = [] if "--output" in arguments else output
        return ["process_batch", *given, *target, *output, *arguments]


class CommandsHere(Commands):
    """Runs `manage.py` in this process, with the settings and the database of the tests."""

    def __init__(self, folder: Path, simulator: SimulatedProvider) -> None:
        super().__init__(folder, simulator, {})

    def run(self, *arguments: str, stdin: str | None = None) -> Finished:
        return run_here(*arguments, folder=self.folder, env=self.env, stdin=stdin)


def run_here(
    *arguments: str,
    folder: Path,
    env: Mapping[str, str] = WIDE,
    stdin: str | None = None,
) -> Finished:
    """Run `manage.py` in this process, within a folder, and undo all that it does to the process.

    An exception that nothing handles is not turned into a status, but is the test's.
    """
    # A thread that an earlier test has left behind would log into the output of this command.
    wait_until(_nothing_is_enqueued, "the end of earlier messages")
    with (
        TemporaryFile("w+", encoding="utf-8") as given,
        TemporaryFile("w+", encoding="utf-8") as out,
        TemporaryFile("w+", encoding="utf-8") as err,
    ):
        given.write(stdin or "")
        given.seek(0)
        with (
            _process_restored(),
            pytest.MonkeyPatch.context() as patch,
            _stream_into(out) as stdout,
            _stream_into(err, errors="backslashreplace") as stderr,
        ):
            patch.chdir(folder)
            for name, value in env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", [str(MANAGE), *arguments])
            patch.setattr(sys, "stdin", given)
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "stderr", stderr)
            status = _status_of_main()
        out.seek(0)
        err.seek(0)
        return Finished(status, out.read(), err.read())


def prompt_lines(count: int, *, text: str = "prompt {n}") -> str:
    """Return an input file with `count` prompts."""
    return "".join(
        json.dumps({"custom_id": f"id-{n}", "prompt": text.format(n=n)}) + "\n"
        for n in range(count)
    )


def _nothing_is_enqueued() -> bool:
    return all(thread.name != RINGING for thread in threading.enumerate())


def _status_of_main() -> int:
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
        assert isinstance(status, int), status
        return status
    return 0


def _stream_into(file: IO[str], *, errors: str = "strict") -> TextIO:
    """Return a stream that writes into a file, through a descriptor that a command may redirect."""
    return open(os.dup(file.fileno()), "w", encoding="utf-8", errors=errors)  # noqa: PTH123 - a descriptor


@contextmanager
def _process_restored() -> Iterator[None]:
    """Undo behind the block what a command does to its process: signals, collector, logging."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    thresholds = gc.get_threshold()
    logged = [
        (logger, logger.handlers[:], logger.level, logger.propagate)
        for logger in logging.root.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
    ]
    # The command collects garbage when it starts: in its own objects, not in those of all tests.
    gc.freeze()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        # Django has bound its own to the streams of the command.
        for logger, own, level, propagate in logged:
            logger.handlers = own
            logger.setLevel(level)
            logger.propagate = propagate
