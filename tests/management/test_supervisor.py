"""The supervisor, in a process of its own as in life, over real child processes."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from batches.management.embedded.child import GUARD, Lines
from tests.command_line import ROOT
from tests.owned_process import OwnedProcess
from tests.process_table import alive, children_of
from tests.waiting import wait_until

# A child that says when it begins and when it is told to end, and where it is. If there is a pipe
# "may-end", it ends when the test has written to it.
POLITE = """
import os, signal, sys
name = sys.argv[1]
def end(*_):
    print("bye", flush=True)
    if os.path.exists("may-end"):
        open("may-end").read()
    open("ended", "a").write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("hello from", os.getpid(), flush=True)
open(name + ".pids", "a").write(f"{os.getpid()}\\n")
while True:
    signal.pause()
"""

# One that does not listen, and has a child of its own that does not either.
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
name = sys.argv[1]
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
open(name + ".pids", "a").write(f"{child.pid}\\n{os.getpid()}\\n")
signal.pause()
"""

SUPERVISOR = """
import signal, sys
from pathlib import Path
from batches.management.embedded.child import Program
from batches.management.embedded.supervisor import Supervisor

# Whoever ran the tests under nohup has it ignored, and the supervisor would keep to that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
programs = [
    Program(name, [sys.executable, "-c", code, name], rank=int(rank), grace_s=float(grace),
            cwd=Path.cwd(), ready=Path(name + ".pids").exists)
    for name, code, rank, grace in zip(*[iter(sys.argv[1:])] * 4, strict=True)
]
say = lambda name, line: print(f"{name}|{line}", flush=True)
sys.exit(Supervisor(programs, say=say, on_ready=lambda: say("serve", "ready")).run())
"""


class Supervised:
    """A supervisor in a process of its own, and the folder where its children leave traces."""

    def __init__(self, folder: Path, *children: Sequence[str]) -> None:
        self.folder = folder
        arguments = [part for child in children for part in child]
        self.process = OwnedProcess(
            [sys.executable, "-c", SUPERVISOR, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=folder,
        )

    def pids(self, name: str) -> list[int]:
        path = self.folder / f"{name}.pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def said(self, text: str) -> bool:
        return text in self.process.output

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.process.output.count(text) >= times, f"{text!r} x {times}")

    def ended(self) -> list[str]:
        path = self.folder / "ended"
        return path.read_text().split() if path.exists() else []


def polite(name: str, *, rank: int = 0, grace_s: float = 30) -> Sequence[str]:
    return name, POLITE, str(rank), str(grace_s)


def stubborn(name: str, *, rank: int = 0, grace_s: float = 30) -> Sequence[str]:
    return name, STUBBORN, str(rank), str(grace_s)


def failing(name: str) -> Sequence[str]:
    return name, "print('oh no', end='', flush=True); raise SystemExit(3)", "0", "30"


Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start supervisors in the test's folder; none outlives the test."""
    with ExitStack() as stack:

        def start_one(*children: Sequence[str]) -> Supervised:
            one = Supervised(tmp_path, *children)
            stack.enter_context(one.process)
            return one

        yield start_one


def test_a_stop_ends_the_highest_rank_first_and_leaves_nobody(start: Start) -> None:
    one = start(polite("broker"), polite("worker", rank=1), polite("web", rank=2))
    one.wait_for("serve|ready")
    pids = [*one.pids("broker"), *one.pids("worker"), *one.pids("web")]
    assert len(pids) == 3
    may_end = one.folder / "may-end"
    os.mkfifo(may_end)
    one.process.terminate()
    for number, name in enumerate(["web", "worker", "broker"], start=1):
        one.wait_for(f"{name}|bye")
        assert one.process.output.count("|bye") == number
        may_end.write_text("now")
    assert one.process.wait() == 0
    assert one.ended() == ["web", "worker", "broker"]
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_stop_signal_stops_it(start: Start, number: int) -> None:
    one = start(polite("web"))
    one.wait_for("serve|ready")
    one.process.signal(number)
    assert one.process.wait() == 0
    assert one.ended() == ["web"]


def test_a_rank_starts_when_the_one_below_is_ready(start: Start, tmp_path: Path) -> None:
    # The broker counts as ready when its file is there, which it makes only when it is told to.
    code = POLITE.replace("open(name", "open('go').read()\nopen(name")
    go = tmp_path / "go"
    os.mkfifo(go)
    one = start(("broker", code, "0", "30"), polite("worker", rank=1))
    one.wait_for("broker|hello")
    assert not one.said("worker|")
    go.write_text("now")
    one.wait_for("worker|hello")
    one.wait_for("serve|ready")


def test_output_has_the_name_of_its_child_also_the_last_words(start: Start) -> None:
    one = start(polite("web"), failing("broker"))
    one.wait_for("web|hello")
    one.wait_for("broker|oh no")
    one.process.terminate()
    one.process.wait()
    assert one.said("web|bye\n")


def test_what_dies_is_started_again_later_each_time(start: Start) -> None:
    one = start(failing("broker"))
    one.wait_for("restarting", times=3)
    said = [line for line in one.process.output.splitlines() if "restarting" in line]
    assert "broker ended with status 3 after" in said[0]
    assert [line.split(" in ")[-1] for line in said[:3]] == ["0.5 s", "1 s", "2 s"]


def test_a_killed_child_is_replaced_and_its_neighbours_are_left_alone(start: Start) -> None:
    one = start(polite("web"), polite("worker"))
    one.wait_for("serve|ready")
    os.kill(one.pids("web")[0], signal.SIGKILL)
    one.wait_for("web was killed by SIGKILL")
    one.wait_for("web|hello", times=2)
    assert len(set(one.pids("web"))) == 2
    assert len(one.pids("worker")) == 1


def test_what_a_killed_child_has_started_goes_with_it(start: Start) -> None:
    one = start(stubborn("worker"))
    wait_until(lambda: len(one.pids("worker")) == 2, "the worker started")
    grandchild, child = one.pids("worker")
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not alive(grandchild), "the grandchild ended")


def test_what_cannot_be_started_is_tried_again(start: Start, tmp_path: Path) -> None:
    one = start(polite("web"))
    one.wait_for("serve|ready")
    hidden = tmp_path.with_name("hidden")
    tmp_path.rename(hidden)
    os.kill(int((hidden / "web.pids").read_text()), signal.SIGKILL)
    one.wait_for("web cannot be started")
    hidden.rename(tmp_path)
    one.wait_for("web|hello", times=2)


def test_what_does_not_stop_in_its_grace_is_killed(start: Start) -> None:
    one = start(stubborn("worker", rank=1, grace_s=0.2), polite("broker"))
    one.wait_for("serve|ready")
    pids = one.pids("worker")
    one.process.terminate()
    assert one.process.wait() == 1
    assert one.said("worker did not stop within 0.2 s; killing it")
    assert one.ended() == ["broker"]
    assert not any(alive(pid) for pid in pids)


def test_a_second_signal_kills_at_once(start: Start) -> None:
    one = start(stubborn("worker", grace_s=600))
    one.wait_for("serve|ready")
    pids = one.pids("worker")
    one.process.signal(signal.SIGINT)
    one.wait_for("serve|Stopping")
    one.process.signal(signal.SIGINT)
    assert one.process.wait() == 130
    assert not any(alive(pid) for pid in pids)


def test_when_the_supervisor_is_killed_nobody_stays(start: Start) -> None:
    one = start(polite("web"), stubborn("worker"))
    one.wait_for("serve|ready")
    pids = [*one.pids("web"), *one.pids("worker")]
    assert all(alive(pid) for pid in pids)
    one.process.signal(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), "the children ended")


def test_a_killed_guard_is_replaced(start: Start) -> None:
    one = start(polite("web"))
    one.wait_for("serve|ready")
    pids = one.pids("web")
    first = guards_of(one)
    assert len(first) == 1
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: guards_of(one) and guards_of(one) != first, "a new guard")
    one.process.signal(signal.SIGKILL)
    wait_until(lambda: not any(alive(pid) for pid in pids), "the child ended")


def guards_of(one: Supervised) -> list[int]:
    children = children_of(one.process.popen.pid)
    return [child.pid for child in children if str(GUARD) in child.command]


def test_bytes_become_lines_however_they_are_cut() -> None:
    lines = Lines()
    text = "ein Wörtchen\r\nzwei\n".encode()
    told = [line for byte in text for line in lines.feed(bytes([byte]))]
    assert told == ["ein Wörtchen", "zwei"]
    assert list(lines.feed(b"rest")) == []
    assert list(lines.feed(b"")) == ["rest"]
    assert list(lines.feed(b"")) == []


def test_a_line_without_end_is_cut() -> None:
    lines = Lines()
    assert sum(len(list(lines.feed(b"x" * 40_000))) for _ in range(10)) == 5
