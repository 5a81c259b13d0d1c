"""What to do about a call that the network set-up kept from being answered: TLS, proxy, scheme.

OpenSSL, aiohttp and servers each have words of their own for the same few mistakes. Here they
become sentences that name the mistake and its remedy.
"""

import re
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
    """A mistake and its remedy. Where it is the set-up's, only a person can mend it."""

    text: str
    of_setup: bool = True


# What is wrong with a certificate, by OpenSSL's X509_V_ERR_* number.
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

# What went wrong in a handshake, by OpenSSL's reason ...
_HANDSHAKES: dict[str, Trouble] = {
    # A server that is restarting may answer like this, so it is worth another try.
    **dict.fromkeys(
        ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"),
        Trouble(_NO_TLS, of_setup=False),
    ),
    **dict.fromkeys(("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"), Trouble(_TOO_OLD)),
    "TLSV1_UNRECOGNIZED_NAME": Trouble("it does not know this host name; check the base URL"),
}
# ... or by the alert that the server sent, whose name stands behind "SSLV3_ALERT_" and the like.
_ALERTS: dict[str, Trouble] = {
    "PROTOCOL_VERSION": Trouble(_TOO_OLD),
    "CERTIFICATE_REQUIRED": Trouble(_WANTS_ONE),
}
# These mean our client certificate, or that there is none.
_CERTIFICATE_ALERTS = frozenset(
    {
        *("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "NO_CERTIFICATE"),
        *("CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA", "ACCESS_DENIED"),
        *("DECRYPT_ERROR", "HANDSHAKE_FAILURE"),
    }
)

_NOT_CONNECTED = (aiohttp.ClientProxyConnectionError, aiohttp.ClientConnectorDNSError)

# A TLS record with an alert, where an answer in HTTP should be, as aiohttp quotes it.
_TLS_ALERT = re.compile(r"\\x15\\x03")


def trouble_of(
    causes: Sequence[BaseException], *, base_url: str, way_out: WayOut
) -> Trouble | None:
    """Return what is known of a failed call by its causes, or None."""
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
        # With an HTTP proxy, nothing else is connected to.
        return Trouble(f"the proxy cannot be reached: {text_of(cause)}", of_setup=False)
    return None


def _refused_by_proxy(status: int) -> Trouble:
    if status == 407:
        return Trouble(f"the proxy refuses the credentials, or asks for some; {CREDENTIALS}")
    if status == 429 or (status >= 500 and status != 501):
        return Trouble(f"the proxy cannot reach it (HTTP {status})", of_setup=False)
    if status in (401, 403):
        return Trouble(f"the proxy does not let us through (HTTP {status}); have this host allowed")
    return Trouble(f"the proxy opens no tunnels to it (HTTP {status}); check PROVIDER_PROXY")


def _of_tls(cause: BaseException, way_out: WayOut) -> Trouble | None:
    if isinstance(cause, aiohttp.ClientConnectorError):
        # It only looks like the error of ssl that is its cause.
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
    """Return a hint for what may be the network, or the only answer of some TLS servers."""
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return Trouble(f"no connection within {CONNECT_TIMEOUT_S:g} s", of_setup=False)
    plain = base_url.startswith("http://")
    if plain and isinstance(cause, aiohttp.ServerDisconnectedError):
        hint = "if this port speaks TLS, write https://"
        return Trouble(f"the connection was closed without an answer ({hint})", of_setup=False)
    # Servers with an authority of their own are those that ask for client certificates.
    private = way_out.authorities and not way_out.client_certificate
    if private and isinstance(cause, ConnectionResetError):
        hint = f"if it asks for a client certificate, {IDENTIFY}"
        return Trouble(f"the connection was reset ({hint})", of_setup=False)
    return None


def _of_http(cause: BaseException) -> Trouble | None:
    quoted = isinstance(cause, aiohttp.ClientResponseError | HttpProcessingError)
    return Trouble(_SPEAKS_TLS) if quoted and _TLS_ALERT.search(str(cause)) else None


# What web servers and libraries say, in a page, to plain HTTP where they expect TLS ...
_PLAIN_HTTP = re.compile(
    r"plain HTTP|HTTP request to an HTTPS server|only speaks HTTPS|requires TLS", re.I
)
# ... and to who comes without a client certificate, or with one that they do not take.
_NO_CERTIFICATE = re.compile(
    r"No required SSL certificate|client certificate (?:is )?(?:required|missing)"
    r"|requires? (?:a|an SSL) client certificate|The SSL certificate error",
    re.I,
)
_LONGEST_PAGE = 16_384


def trouble_in(
    status: int, headers: Mapping[str, str], raw: bytes, *, base_url: str, way_out: WayOut
) -> Trouble | None:
    """Return what an HTTP error tells of the set-up, if it is not an answer of the provider."""
    if status == 407:
        return Trouble(f"a proxy refuses the credentials, or asks for some; {CREDENTIALS}")
    plain = base_url.startswith("http://")
    if status < 400:
        moved = headers.get("location", "")
        return Trouble(_MOVED) if plain and _same_but_https(base_url, moved) else None
    # An API answers in JSON, and may quote a prompt that speaks of TLS.
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
