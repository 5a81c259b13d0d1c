"""Kill the processes that a supervisor leaves behind when it is killed itself.

The supervisor runs this file as a process and writes a line to its pipe for each process group
that starts (+ID) or ends (-ID). The pipe closes when the supervisor ends, for whatever reason. This
works on any POSIX system, and also kills processes that the children have started.
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
