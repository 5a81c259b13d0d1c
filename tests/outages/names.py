"""A host name of a few processes' own, which can stop to resolve."""

import os
import shutil
import subprocess
from pathlib import Path

# Reserved for tests (RFC 6761), so that it leads nowhere else.
HOST = "provider.test"

# Only these files are asked: no query leaves the machine, and a missing name is missing at once.
LOOK_UP = "hosts: files\n"
THIS_MACHINE = "127.0.0.1 localhost\n"
MOUNT = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'
NO_NAMESPACE = "the system lets no process have files of its own in /etc (unshare --mount)"


class Names:
    """The files that processes started `within` see as /etc/hosts and /etc/nsswitch.conf."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._hosts = folder / "hosts"
        look_up = folder / "nsswitch.conf"
        look_up.write_text(LOOK_UP)
        self.add()
        self.within = (*namespace(), "/bin/sh", "-c", MOUNT, str(self._hosts), str(look_up))

    def add(self) -> None:
        """Let the name lead to this machine."""
        self._hosts.write_text(f"{THIS_MACHINE}127.0.0.1 {HOST}\n")

    def remove(self) -> None:
        """Let the name lead nowhere. The file stays the same one, since it is mounted."""
        self._hosts.write_text(THIS_MACHINE)


def namespace() -> tuple[str, ...]:
    """The command that gives a process mounts of its own."""
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    return ("unshare", "--mount", *as_root)


def can_have_own_names() -> bool:
    """Return True if this system lets processes have mounts of their own."""
    if shutil.which("unshare") is None:
        return False
    command = (*namespace(), "/bin/sh", "-c", "mount --bind /etc/hosts /etc/hosts")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
