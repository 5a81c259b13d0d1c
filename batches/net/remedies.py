"""Remedies for calls that fail because of the network set-up: TLS, proxy, scheme.

OpenSSL, aiohttp and servers each report the same few mistakes in other words. This module turns
them into sentences that name the mistake and its remedy.
"""

import errno
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from batches.net.transport import CONNECT_TIMEOUT_S, text_of
from batches.net.ways_out import WayOut

TRUST = (
    "if you trust it, set PROVIDER_CA_BUNDLE to the PEM file of its certificate authority "
    "(or to 'system' for the store of the operating system), "
    "or paste that certificate on the page of the provider"
)
IDENTIFY = "set PROVIDER_CLIENT_CERT=cert.pem,key.pem, or paste both on the page of the provider"
CREDENTIALS = "give user and password in the proxy's URL: PROVIDER_PROXY=http://user:password@host"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A mistake and its remedy. With `of_setup`, retrying is useless: a user must correct it."""

    text: str
    of_setup: bool = True


# Faults of a certificate, by OpenSSL's X509_V_ERR_* number.
_UNTRUSTED = (2, 18, 19, 20, 21, 27)
_CERTIFICATES: dict[int, str] = {
    **dict.fromkeys(
        _UNTRUSTED, f"its certificate is not signed by an authority that is trusted here; {TRUST}"
    ),
    9: "its certificate is not valid yet; check the clock of this machine",
    10: "its certificate has expired; it must be renewed on the server",
    23: "its certificate has been revoked; it must be replaced on the server",
    62: "its certificate is for another name; write the base URL with a name of the certificate",
    64: "its certificate is not for this IP address; "
    "write the base URL with a name of the certificate",
}

_NO_TLS = "this port does not speak TLS; did you mean http://?"
_MOVED = "it redirects to https://; did you mean https://?"
_SPEAKS_TLS = "this port speaks TLS; did you mean https://?"
_TOO_OLD = "it offers no TLS version from 1.2 on; the server must be updated"
_WANTS_ONE = f"it asks for a client certificate; {IDENTIFY}"
_REFUSES_OURS = f"it refuses our client certificate; {IDENTIFY}"

# Faults of a handshake, by OpenSSL's reason ...
_HANDSHAKES: dict[str, Trouble] = {
    # A server that is restarting may answer like this, so it is worth another try.
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"),
        Trouble(_NO_TLS, of_setup=False),
    ),
    **dict.fromkeys(("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"), Trouble(_TOO_OLD)),
    "TLSV1_UNRECOGNIZED_NAME": Trouble("it does not know this host name; check the base URL"),
}
# ... or by the alert that the server sent, whose name follows "SSLV3_ALERT_" and similar prefixes.
_ALERTS: dict[str, Trouble] = {
    "PROTOCOL_VERSION": Trouble(_TOO_OLD),
    "CERTIFICATE_REQUIRED": Trouble(_WANTS_ONE),
}
# Alerts about our client certificate, or about a missing one.
_CERTIFICATE_ALERTS = frozenset(
    {
        *("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "NO_CERTIFICATE"),
        *("CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED"),
        *("DECRYPT_ERROR", "HANDSHAKE_FAILURE"),
    }
)

# Faults of a connection that was not made, by the number of the system or of the resolver.
CHECK_ADDRESS = "check the host and the port of the base URL"
_NO_ROUTE = f"this machine has no route to it; {CHECK_ADDRESS}, and the network"
_UNKNOWN_NAME = "there is no host of this name; check the spelling of the base URL"
_CONNECTIONS: dict[int | None, str] = {
    errno.ECONNREFUSED: (
        "connection refused, since no server listens on this port; start it, or correct the port "
        "in the base URL"
    ),
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH), _NO_ROUTE),
    errno.ETIMEDOUT: f"no connection; {CHECK_ADDRESS}, and the firewall",
    **dict.fromkeys((socket.EAI_NONAME, socket.EAI_NODATA), _UNKNOWN_NAME),
    socket.EAI_AGAIN: "its name was not resolved; check the network and the name server (DNS) of "
    "this machine, and the spelling of the base URL",
}
_NUMBERS = re.compile(r"\[Errno (-?\d+)\]")

_NOT_CONNECTED = (aiohttp.ClientProxyConnectionError, aiohttp.ClientConnectorDNSError)

# A TLS alert instead of an HTTP answer, as quoted by aiohttp.
_TLS_ALERT = re.compile(r"\\x15\\x03")


def trouble_of(
    causes: Sequence[BaseException], *, base_url: str, way_out: WayOut
) -> Trouble | None:
    """Return the mistake behind a failed call, by its causes; None if it is unknown."""
    for cause in causes:
        found = (
            _of_proxy(cause, way_out)
            or _of_tls(cause, way_out)
            or _of_http(cause)
            or _of_connection(cause, base_url, way_out)
        )
        if found:
            return found
    return None


def _of_proxy(cause: BaseException, way_out: WayOut) -> Trouble | None:
    if isinstance(cause, aiohttp.ClientHttpProxyError):
        return _refused_by_proxy(cause.status)
    if way_out.proxy and isinstance(cause, _NOT_CONNECTED):
        # With an HTTP proxy, the only connection is to the proxy.
        said = f"the proxy cannot be reached: {text_of(cause)}"
        return Trouble(f"{said}; check PROVIDER_PROXY, and that the proxy runs", of_setup=False)
    return None


def _refused_by_proxy(status: int) -> Trouble:
    if status == 407:
        return Trouble(f"the proxy refuses the credentials, or asks for some; {CREDENTIALS}")
    if status == 429 or (status >= 500 and status != 501):
        said = f"the proxy cannot reach it (HTTP {status})"
        return Trouble(f"{said}; check the base URL, and that the server runs", of_setup=False)
    if status in (401, 403):
        return Trouble(f"the proxy refuses this host (HTTP {status}); have it allowed there")
    return Trouble(f"the proxy opens no tunnels to it (HTTP {status}); check PROVIDER_PROXY")


def _of_tls(cause: BaseException, way_out: WayOut) -> Trouble | None:
    if isinstance(cause, aiohttp.ClientConnectorError):
        # This error only resembles its cause, an error of ssl; look at the cause instead.
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        known = _CERTIFICATES.get(cause.verify_code)
        return Trouble(known or f"its certificate is not accepted: {cause.verify_message}")
    if not isinstance(cause, ssl.SSLError):
        return None
    alert = (cause.reason or "").partition("ALERT_")[2]
    if alert in _CERTIFICATE_ALERTS:
        return _of_client_certificate(alert, way_out)
    return _ALERTS.get(alert) or _HANDSHAKES.get(cause.reason or "")


def _of_client_certificate(alert: str, way_out: WayOut) -> Trouble:
    said = alert.replace("_", " ").lower()
    if way_out.client_certificate:
        return Trouble(f"it refuses our client certificate ({said}); {IDENTIFY}")
    return Trouble(f"it may ask for a client certificate ({said}); {IDENTIFY}")


def _of_connection(cause: BaseException, base_url: str, way_out: WayOut) -> Trouble | None:
    """Return a hint for an error that may be the network's, or a TLS server's only answer."""
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        said = f"no connection within {CONNECT_TIMEOUT_S:g} s; {CHECK_ADDRESS}, and the firewall"
        # A server without TLS may wait for the rest of what it takes for a request.
        hint = (
            "" if base_url.startswith("http://") else " (if it does not speak TLS, write http://)"
        )
        return Trouble(said + hint, of_setup=False)
    if isinstance(cause, aiohttp.ClientConnectorError):
        return _of_no_connection(cause.os_error)
    if isinstance(cause, aiohttp.ServerDisconnectedError | ConnectionResetError):
        was_reset = isinstance(cause, ConnectionResetError)
        said = "was reset" if was_reset else "was closed without an answer"
        hint = _hint_at_tls(base_url, way_out)
        return Trouble(f"the connection {said}{f' ({hint})' if hint else ''}", of_setup=False)
    return None


def _hint_at_tls(base_url: str, way_out: WayOut) -> str:
    """Return what a connection may lack that ended before its answer."""
    if base_url.startswith("http://"):
        return "if this port speaks TLS, write https://"
    # Servers that ask for client certificates usually have a private authority. Their alert may
    # come too late to be read, or be none: then the connection only ends.
    if not (way_out.authorities or way_out.client_certificate):
        return ""
    doubt = "refuses our" if way_out.client_certificate else "asks for a"
    return f"if it {doubt} client certificate, {IDENTIFY}"


def _of_no_connection(error: OSError) -> Trouble | None:
    # Addresses of one name that fail in different ways leave their numbers only in the text.
    numbers = (error.errno, *map(int, _NUMBERS.findall(str(error))))
    known = next((_CONNECTIONS[number] for number in numbers if number in _CONNECTIONS), "")
    return Trouble(known, of_setup=False) if known else None


def _of_http(cause: BaseException) -> Trouble | None:
    quoted = isinstance(cause, aiohttp.ClientResponseError | HttpProcessingError)
    return Trouble(_SPEAKS_TLS) if quoted and _TLS_ALERT.search(str(cause)) else None


# Texts of web servers and libraries in a page for plain HTTP on a TLS port ...
_PLAIN_HTTP = re.compile(
    r"plain HTTP|HTTP request to an HTTPS server|only speaks HTTPS|requires TLS", re.I
)
# ... and for a client without a client certificate, or with one that is not accepted.
_NO_CERTIFICATE = re.compile(
    r"No required SSL certificate|client certificate (?:is )?(?:required|missing)"
    r"|requires? (?:a|an SSL) client certificate|The SSL certificate error",
    re.I,
)
_LONGEST_PAGE = 16_384


def trouble_in(
    status: int, headers: Mapping[str, str], raw: bytes, *, base_url: str, way_out: WayOut
) -> Trouble | None:
    """Return the mistake that an HTTP error shows, if it is not an answer of the provider."""
    if status == 407:
        return Trouble(f"a proxy refuses the credentials, or asks for some; {CREDENTIALS}")
    plain = base_url.startswith("http://")
    if status < 400:
        moved = headers.get("location", "")
        return Trouble(_MOVED) if plain and _same_but_https(base_url, moved) else None
    # An API answers in JSON, and may quote a prompt about TLS.
    page = raw[:_LONGEST_PAGE].decode("latin-1").lstrip()
    if page.startswith(("{", "[")):
        return None
    if plain and (status == 497 or _PLAIN_HTTP.search(page)):
        return Trouble(_SPEAKS_TLS)
    if not plain and (status in (495, 496) or _NO_CERTIFICATE.search(page)):
        return Trouble(_REFUSES_OURS if way_out.client_certificate else _WANTS_ONE)
    return None


def _same_but_https(base_url: str, location: str) -> bool:
    host = base_url.removeprefix("http://").partition("/")[0].partition(":")[0]
    return location.startswith((f"https://{host}/", f"https://{host}:"))
