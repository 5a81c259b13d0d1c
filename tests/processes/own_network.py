"""A network that a process has to itself, with a firewall that drops what it is told to.

`run_alone(module)` runs a module in it. The module calls `begin()`, and then `cut(server)` as often
as it likes. Nothing of the machine's own network is touched.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.environment import unmeasured
from tests.owned_process import OwnedProcess
from tests.server_process import Server
from tests.system_tools import system_tool

ROOT = Path(__file__).resolve().parent.parent.parent

GET_FLAGS, SET_FLAGS, IFF_UP = 0x8913, 0x8914, 1
ESTABLISHED = "01"
# Dropped where they come in, so that the sender learns nothing.
RULES = """
table inet cut {
    set ports { type inet_service; }
    chain input {
        type filter hook input priority 0;
        tcp sport @ports drop
        tcp dport @ports drop
    }
}
"""


def run_alone(module: str, *, seconds: float) -> tuple[int, str]:
    """Run a module in a network of its own; return its exit status and its output."""
    # Others than root become master of a network by a user namespace, in which they stay who they
    # are, since PostgreSQL does not run as root.
    as_user = () if os.geteuid() == 0 else ("--user", "--map-current-user", "--keep-caps")
    unshare = system_tool("unshare", package="util-linux")
    _nft_path()
    command = [unshare, *as_user, "--net", sys.executable, "-m", module]
    with OwnedProcess(command, env=unmeasured(), cwd=ROOT) as process:
        try:
            return process.wait(seconds), process.output
        except subprocess.TimeoutExpired:
            return -1, process.output


def begin() -> None:
    """Bring the loopback interface up, and the firewall, which drops nothing yet."""
    with socket.socket() as any_socket:
        name = b"lo"
        request = fcntl.ioctl(any_socket, GET_FLAGS, struct.pack("16sh14x", name, 0))
        _, flags = struct.unpack("16sh14x", request)
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", name, flags | IFF_UP))
    _nft(RULES)


def cut(*servers: Server) -> int:
    """Drop from now on all packets of the connections that are open; return their number.

    Neither side is told. New connections get through.
    """
    ports = _client_ports({server.port for server in servers})
    if ports:
        _nft(f"add element inet cut ports {{ {', '.join(map(str, ports))} }}")
    return len(ports)


def _client_ports(of_servers: set[int]) -> list[int]:
    """Return our ends of the open connections to these ports."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        _port(local)
        for _, local, remote, state, *_ in rows
        if state == ESTABLISHED and _port(remote) in of_servers
    ]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _nft(rules: str) -> None:
    subprocess.run([_nft_path(), "-f", "-"], input=rules, text=True, check=True)


def _nft_path() -> str:
    return system_tool("nft", package="nftables")
