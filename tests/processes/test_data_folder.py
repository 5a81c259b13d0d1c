"""No state of the data folder ends a command with a traceback: the states are real."""

import ctypes
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from simulator import SimulatedProvider
from tests.command_line import MANAGE, ROOT
from tests.environment import unmeasured
from tests.servers import NOBODY
from tests.system_tools import system_tool
from tests.waiting import wait_until

COMMANDS = (["batches", "list"], ["serve", "--port", "0"])

State = Callable[[Path, ExitStack], object]


def run(name: str, *arguments: str | Path) -> None:
    """Run a program of the system."""
    subprocess.run([system_tool(name, package="mount"), *arguments], check=True)


def manage(
    folder: Path, *arguments: str, program: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run manage.py over a data folder; a command that does not end is an error."""
    return subprocess.run(
        [*program, sys.executable, str(MANAGE), *arguments],
        env={
            **unmeasured(),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATA_DIR": str(folder),
            # A run that could not release its prompts keeps them for that long.
            "LEASE_SECONDS": "4",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of this size at the folder."""
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
    finally:
        run("umount", "--lazy", folder)


@contextmanager
def dead_mount(folder: Path) -> Iterator[None]:
    """Mount a file system whose server is gone."""
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.mount(b"dead", os.fsencode(folder), b"fuse", 0, options)
    assert not failed, os.strerror(ctypes.get_errno())
    os.close(descriptor)
    try:
        yield
    finally:
        run("umount", "--lazy", folder)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


def full(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(mounted(folder, "64k"))
    fill(folder)


def read_only(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(mounted(folder, "1M"))
    run("mount", "-o", "remount,ro", folder)


def a_file(folder: Path, _: ExitStack) -> None:
    folder.rmdir()
    folder.write_text("no folder")


def a_loop(folder: Path, _: ExitStack) -> None:
    folder.rmdir()
    folder.symlink_to(folder)


STATES: dict[str, tuple[State, str]] = {
    "full": (full, "No space left on device"),
    "read-only": (read_only, "Read-only file system"),
    "dead mount": (lambda folder, stack: stack.enter_context(dead_mount(folder)), "not connected"),
    "a file": (a_file, "File exists"),
    "a loop": (a_loop, "loop"),
    "a folder as key": (lambda folder, _: (folder / "secret_key").mkdir(), "holds no key"),
    "a pipe as key": (lambda folder, _: os.mkfifo(folder / "secret_key"), "holds no key"),
    "no key": (lambda folder, _: (folder / "secret_key").touch(), "holds no key"),
    "a binary key": (lambda folder, _: (folder / "secret_key").write_bytes(b"\xff" * 50), "codec"),
    "no database": (
        lambda folder, _: (folder / "db.sqlite3").write_bytes(b"\xff" * 5000),
        "file is not a database; name another folder with DATA_DIR, or restore",
    ),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("name", STATES)
def test_an_unusable_data_folder_is_named_with_the_remedy(
    tmp_path: Path, name: str, command: list[str]
) -> None:
    prepare, reason = STATES[name]
    folder = tmp_path / "var"
    folder.mkdir()
    with ExitStack() as stack:
        prepare(folder, stack)
        ended = manage(folder, *command)
    assert_told(ended, folder, reason)


@pytest.mark.parametrize("mode", [0o700, 0o755], ids=["unreadable", "not writable"])
def test_a_data_folder_of_another_user_is_named(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "var"
    folder.mkdir(mode=mode)
    os.chown(folder, NOBODY, NOBODY)
    # A root that the kernel treats like any user.
    plain: tuple[str, ...] = (system_tool("setpriv", package="util-linux"), "--bounding-set")
    plain += ("-dac_override,-dac_read_search,-chown,-fowner",)
    assert_told(manage(folder, "batches", "list", program=plain), folder, "Permission denied")


def assert_told(ended: subprocess.CompletedProcess[str], folder: Path, reason: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("error: ")
    assert str(folder) in ended.stderr
    assert reason in ended.stderr
    assert "DATA_DIR" in ended.stderr


FULL = "database or disk is full; free some space on its disk, then try again: what is stored is"


def test_a_disk_that_fills_up_while_prompts_are_stored_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"prompt {n} {'x' * 400}\n" for n in range(20_000)))
    target = ["--base-url", "http://127.0.0.1:1/v1", "--model", "m"]
    with mounted(folder, "8M"):
        assert manage(folder, "batches", "list").returncode == 0
        ended = manage(folder, "process_batch", str(prompts), *target, "--output", "/dev/null")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    # It is said once, and at once: nothing is tried again.
    assert "trying again" not in ended.stderr
    assert ended.stderr.count("disk is full") == 1
    assert ended.stderr.splitlines()[-1].startswith(f"error: the database {folder}/db.sqlite3")
    assert FULL in ended.stderr


def test_a_disk_that_fills_up_during_a_run_ends_it_and_the_run_goes_on_once_there_is_space(
    tmp_path: Path, simulator: SimulatedProvider
) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    (tmp_path / "prompts.txt").write_text("".join(f"prompt {n}\n" for n in range(300)))
    out = tmp_path / "out.jsonl"
    target = ["--base-url", simulator.base_url, "--model", "m", "--output", str(out)]
    options = ["--batch-size", "10", "--quiet"]
    with mounted(folder, "8M"), ThreadPoolExecutor() as pool:
        words = ["process_batch", str(tmp_path / "prompts.txt"), *target, *options]
        with simulator.holding(after=30):
            run_ = pool.submit(manage, folder, *words)
            wait_until(lambda: simulator.calls.total() > 30, "the first calls")
            fill(folder)
        ended = run_.result()
        (folder / "filler").unlink()
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        fault, saved, to_continue = ended.stderr.splitlines()
        assert fault.startswith(f"error: the database {folder}/db.sqlite3")
        assert FULL in fault
        assert saved.startswith("Results so far are saved. To write them: ")
        _python, _manage, *arguments = shlex.split(to_continue.partition(": ")[2])
        again = manage(folder, *arguments)
    assert again.returncode == 0, again.stderr
    assert len(out.read_text().splitlines()) == 300
