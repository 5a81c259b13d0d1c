"""Timeouts for connections that die silently: a firewall drops packets, a machine loses power.

Without them TCP retransmits for a quarter of an hour, and waits two hours for an answer. A quarter
of a lease is short enough for a runner to notice, connect again and renew its lease in time.
"""

import socket

SHORTEST_S = 2
LONGEST_S = 30
# Unanswered probes before the connection is closed, on systems without TCP_USER_TIMEOUT.
PROBES = 3


def patience_s(lease_s: int) -> int:
    """Return the seconds after which a silent connection is closed."""
    return max(SHORTEST_S, min(lease_s // 4, LONGEST_S))


def keepalives(lease_s: int) -> dict[str, int]:
    """Return idle time and interval (in seconds) and number of the probes within the patience."""
    patience = patience_s(lease_s)
    idle = max(patience // 2, 1)
    interval = max((patience - idle) // PROBES, 1)
    return {"idle": idle, "interval": interval, "count": (patience - idle) // interval}


def libpq_options(lease_s: int) -> dict[str, int]:
    """Return the connection options for PostgreSQL, which hold through a pooler as well."""
    probes = {f"keepalives_{name}": value for name, value in keepalives(lease_s).items()}
    patience = patience_s(lease_s)
    return {
        "connect_timeout": patience,
        "keepalives": 1,
        **probes,
        "tcp_user_timeout": patience * 1000,
    }


def socket_options(lease_s: int) -> dict[int, int]:
    """Return the TCP options of a socket that this system supports."""
    probes = keepalives(lease_s)
    wanted = {
        "TCP_KEEPIDLE": probes["idle"],
        "TCP_KEEPINTVL": probes["interval"],
        "TCP_KEEPCNT": probes["count"],
        "TCP_USER_TIMEOUT": patience_s(lease_s) * 1000,
    }
    return {getattr(socket, name): n for name, n in wanted.items() if hasattr(socket, name)}
