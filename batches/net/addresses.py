"""Check which network addresses may be called."""

import ipaddress
import re
from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# The allowed form of a host in a URL: plain characters, so that all parsers read it the same.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_PATTERN = rf"(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])"

# IP addresses in a text. A candidate for IPv6 is checked before it is replaced.
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\d|\.\d)", re.ASCII)
_MAYBE_IPV6 = re.compile(r"(?<![\w.:])(?=(?:[0-9A-Fa-f]*:){2})([0-9A-Fa-f:.]+)(?:%\w+)?", re.ASCII)

# IPv6 forms that contain an IPv4 address, with its position in their 128 bits. `is_global` is true
# for some of them although their IPv4 address is not global (measured on Python 3.11).
_CARRIERS: tuple[tuple[ipaddress.IPv6Network, int], ...] = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)

# IETF protocol assignments; Python counts parts of them as global.
_PROTOCOL_ASSIGNMENTS = ipaddress.IPv4Network("192.0.0.0/24")


class AddressPolicy:
    """Public addresses, and the private ones on a list of host names, addresses and networks."""

    def __init__(self, private_hosts: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._networks: list[IPNetwork] = []
        for host in private_hosts:
            try:
                self._networks.append(ipaddress.ip_network(host, strict=False))
            except ValueError:
                self._names.add(host.lower())

    def allows_name(self, host: str) -> bool:
        """Return True if this host may be called whatever its name resolves to."""
        return host.lower() in self._names

    def allows(self, address: str) -> bool:
        """Return True if this IP address may be called."""
        # A scope such as %eth0 does not make an address public.
        ip = ipaddress.ip_address(address.partition("%")[0])
        return self._lists(ip) or is_public(ip)

    def lists(self, host: str) -> bool:
        """Return True if this host, a name or an address, is itself on the list."""
        try:
            return self._lists(ipaddress.ip_address(host))
        except ValueError:
            return self.allows_name(host)

    def refuses(self, host: str) -> bool:
        """Return True if this host is a forbidden address; False for names, which may resolve
        to any address."""
        try:
            return not self.allows(host)
        except ValueError:
            return False

    def _lists(self, ip: IPAddress) -> bool:
        return any(ip in network for network in self._networks)


def is_public(ip: IPAddress) -> bool:
    """Return True if an address, or the IPv4 address inside it, is public."""
    if isinstance(ip, ipaddress.IPv6Address):
        for network, shift in _CARRIERS:
            if ip in network:
                return is_public(ipaddress.IPv4Address((int(ip) >> shift) & 0xFFFFFFFF))
        if ip.is_site_local:
            return False
    elif ip in _PROTOCOL_ASSIGNMENTS:
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def without_addresses(text: str) -> str:
    """Return a text with each IP address replaced, for users who must not learn what a name
    resolves to in the network of this server."""
    return _IPV4.sub(_HIDDEN, _MAYBE_IPV6.sub(_without_ipv6, text))


_HIDDEN = "[address]"


def _without_ipv6(match: re.Match[str]) -> str:
    # A full stop or a colon may belong to the sentence.
    for end in ("", ".", ":"):
        try:
            ipaddress.IPv6Address(match[1].removesuffix(end))
        except ValueError:
            continue
        return _HIDDEN + end
    return match[0]
