"""Python processes that start in a third of the time: the libraries are imported once for all.

Most of what a short command costs is the import of libraries. Each process of tests therefore has
one helper process that has imported them and does nothing else; a start is a fork of it. What
comes of it is a process like any other: with its own pid, memory, signals, descriptors and
environment, a child of the tests, and every module of this project is imported in it alone.
"""

import atexit
import ctypes
import faulthandler
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.environment import MEASURED

ROOT = Path(__file__).resolve().parent.parent

# Libraries of a command, a worker and a web server, none of which reads settings when imported.
LIBRARIES = (
    *("aiohttp", "asgiref.sync", "httpx", "redis.asyncio"),
    *("celery.app.amqp", "celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread"),
    *(
        "celery.fixups.django",
        "celery.worker.consumer",
        "kombu.transport.redis",
        "kombu.asynchronous",
    ),
    *("django.contrib.admin.options", "django.core.management", "django.db.models"),
    *("django.db.backends.sqlite3.base", "django.db.backends.postgresql.base", "django.test"),
    *("cryptography.fernet", "json_repair", "jsonschema_rs", "psycopg", "pydantic.root_model"),
    *("pydantic.functional_validators", "referencing", "requests", "rich.progress"),
    *("standardwebhooks", "uvicorn.main", "yaml"),
)

# What an interpreter reads before any of our code runs; a process that wants another value of one
# of these starts anew.
READ_AT_START = ("PYTHON", "LANG", "LC_", "MALLOC_", "LD_", *MEASURED)
# Carried out by `Start.prepare`.
CARRIED_OUT = {"PYTHONFAULTHANDLER"}

PR_SET_CHILD_SUBREAPER = 36
LONGEST_MESSAGE = 2**20


def start_python(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """Start `python [-W FILTER] (SCRIPT | -m MODULE) ARGUMENT...` as subprocess.Popen would.

    Any other command, and what a fork can't do, is given to subprocess.Popen.
    """
    kind = _Forked if _can_fork(command, options) else subprocess.Popen
    return kind(command, **options)


def _can_fork(command: Sequence[str], options: Mapping[str, Any]) -> bool:
    if sys.platform != "linux" or command[0] != sys.executable or command[1] == "-c":
        return False
    known = {"env", "cwd", "stdin", "stdout", "stderr", "text", "start_new_session"}
    if any(value is not None for name, value in options.items() if name not in known):
        return False
    return _read_at_start(options.get("env") or os.environ) == _read_at_start(os.environ)


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if name.startswith(READ_AT_START) and name not in CARRIED_OUT
    }


class Start(NamedTuple):
    """What a forked process is to become."""

    arguments: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    new_session: bool

    def become(self, streams: Sequence[int]) -> None:
        """Make this process the one that was asked for, and run its program to its end."""
        self._prepare(streams)
        arguments = list(self.arguments)
        while arguments[0] == "-W":
            warnings.filterwarnings("ignore", message=arguments[1].removeprefix("ignore:"))
            del arguments[:2]
        status = 0
        try:
            _run(arguments, self.cwd)
        except SystemExit as end:
            if not isinstance(end.code, int | None):
                raise
            status = end.code or 0
        _end(status)

    def _prepare(self, streams: Sequence[int]) -> None:
        if self.new_session:
            os.setsid()
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.env)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.orig_argv = [sys.executable, *self.arguments]
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            setattr(sys, name, _opened_like(getattr(sys, name), number))
        if self.env.get("PYTHONFAULTHANDLER"):
            faulthandler.enable()


def _run(arguments: Sequence[str], cwd: str) -> None:
    if arguments[0] == "-m":
        sys.path[0] = cwd
        sys.argv = list(arguments[1:])
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(arguments[0]).parent)
        sys.argv = list(arguments)
        runpy.run_path(arguments[0], run_name="__main__")


def _end(status: int) -> None:
    """End as an interpreter does, but without taking every object apart: most are shared."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as at any end
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _opened_like(stream: io.TextIOWrapper, descriptor: int) -> io.TextIOWrapper:
    binary = open(descriptor, stream.mode + "b", closefd=False)  # noqa: SIM115 - for the life of the process
    return io.TextIOWrapper(
        binary,
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering or os.isatty(descriptor),
        write_through=stream.write_through,
    )


class _Forked(subprocess.Popen[Any]):
    """A Popen whose process is forked from the helper instead of executed."""

    def _execute_child(self, *arguments: Any) -> None:
        original = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]  # the one place of Popen that starts
        given = original.bind(self, *arguments).arguments
        ends = [given[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        start = Start(
            given["args"][1:],
            dict(given["env"] or os.environ),
            os.fspath(given["cwd"] or Path.cwd()),
            given["start_new_session"],
        )
        try:
            self.pid = _helper().fork(start, [end if end >= 0 else n for n, end in enumerate(ends)])
            self._child_created = True
        finally:
            names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(given[name] for name in names))  # type: ignore[attr-defined]  # as the original does


class _Helper:
    """Our end of the helper process, which ends when we do."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_MESSAGE)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.warm_python", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def fork(self, start: Start, streams: Sequence[int]) -> int:
        """Return the pid of a new child of this process."""
        message = json.dumps(start).encode()
        with self._lock, _adopting_orphans():
            socket.send_fds(self._socket, [message], streams)
            return int(self._socket.recv(LONGEST_MESSAGE))


@cache
def _helper() -> _Helper:
    return _Helper()


@contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Within the block, a descendant that loses its parent becomes a child of this process.

    Not for longer: what a test orphans is for init to reap.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _serve(orders: socket.socket) -> tuple[Start, list[int]] | None:
    """Fork for each order; return the order in the new process, None in the helper at its end."""
    while True:
        message, streams, _, _ = socket.recv_fds(orders, LONGEST_MESSAGE, 3)
        if not message:
            return None
        pid = _fork_orphan()
        if not pid:
            orders.close()
            return Start(*json.loads(message)), streams
        for stream in streams:
            os.close(stream)
        orders.send(str(pid).encode())


def _fork_orphan() -> int:
    """Fork a process that is not our child; return its pid, or 0 in it."""
    reading, writing = os.pipe()
    adopted, adopting = os.pipe()
    between = os.fork()
    if not between:
        orphan = os.fork()
        if orphan:
            os.write(writing, str(orphan).encode())
            os._exit(0)
        os.close(reading)
        os.close(writing)
        os.close(adopting)
        # Until then its parent is the process between.
        os.read(adopted, 1)
        os.close(adopted)
        return 0
    os.close(writing)
    os.close(adopted)
    os.waitpid(between, 0)
    with os.fdopen(reading) as answer:
        orphan = int(answer.read(20) or 0)
    os.close(adopting)
    return orphan


def main() -> None:
    orders = socket.socket(fileno=int(sys.argv[1]))
    for name in LIBRARIES:
        importlib.import_module(name)
    # The collector of a fork would write to, and so copy, all of these.
    gc.freeze()
    ordered = _serve(orders)
    if ordered:
        start, streams = ordered
        start.become(streams)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
