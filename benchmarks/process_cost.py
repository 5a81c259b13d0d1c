"""What running processes have used so far, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

from tests.process_table import children_of

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Used:
    """CPU seconds and the most memory of processes so far."""

    cpu_s: float = 0.0
    peak_mib: float = 0.0

    def since(self, before: "Used") -> "Used":
        """Return what was used in between; the peak is that of the whole life."""
        return Used(self.cpu_s - before.cpu_s, self.peak_mib)


def used_by(pids: list[int]) -> Used:
    """Add up the CPU of processes; the peak is that of the largest."""
    cpu_s = sum(_cpu_s(pid) for pid in pids)
    return Used(cpu_s, max(_peak_mib(pid) for pid in pids))


def cpu_of_server(pid: int) -> float:
    """Return the CPU seconds of a server with its children, those that have ended included."""
    return _cpu_s(pid, ended_children=True) + sum(_cpu_s(child.pid) for child in children_of(pid))


def _cpu_s(pid: int, *, ended_children: bool = False) -> float:
    try:
        # The name, which comes before, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        # Its parent counts it by now.
        return 0.0
    return sum(map(int, fields[11 : 15 if ended_children else 13])) / TICKS_A_SECOND


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    [peak] = [row.split()[1] for row in status.splitlines() if row.startswith("VmHWM:")]
    return int(peak) / 1024
