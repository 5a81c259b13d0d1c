"""Kills what a supervisor leaves behind when it is killed itself.

The supervisor runs this file as a process and tells it, over a pipe, a line for each process group
that begins (+ID) or is over (-ID). The pipe ends with the supervisor, however that happens. This
needs nothing of one system alone, and also reaches what the children have started.
"""

import os
import signal
import sys
from contextlib import suppress


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
