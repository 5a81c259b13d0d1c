"""The processes of this machine, as `ps` shows them on every POSIX system."""

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """A process that runs."""

    pid: int
    parent: int
    command: str


def running() -> list[Seen]:
    """All that run; those that only wait to be reaped do not."""
    table = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="],  # noqa: S607 - where it is differs
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    rows = (line.split(maxsplit=3) for line in table.splitlines())
    return [
        Seen(int(row[0]), int(row[1]), row[3] if len(row) > 3 else "")
        for row in rows
        if not row[2].startswith(("Z", "X"))
    ]


def alive(pid: int) -> bool:
    return any(process.pid == pid for process in running())


def children_of(pid: int) -> list[Seen]:
    return [process for process in running() if process.parent == pid]
