"""The network set-up of outgoing calls: trusted authorities, client certificate and proxy.

    ProviderClient(url, way_out=WayOut(authorities=pem, proxy=Proxy.of("http://proxy:3128")))

All values are passed explicitly. `SSL_CERT_FILE`, `HTTPS_PROXY` and similar variables have an
effect only through functions below that read the environment.
"""

import os
import re
import ssl
from dataclasses import dataclass, field
from functools import lru_cache
from tempfile import NamedTemporaryFile
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import httpx

from batches.net.addresses import HOST_PATTERN, AddressPolicy

PROXY_EXAMPLE = "http://user:password@proxy.example:3128"

_PROXY = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?:(?P<user>[^:/?#]*?)(?::(?P<password>.*))?@)?"
    rf"(?P<host>{HOST_PATTERN})(?::(?P<port>\d{{1,5}}))?/?",
    re.ASCII,
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:\w+ )?PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy; `url` has no credentials.

    A proxy set by the operator may have a private address. The address of any other proxy is
    checked like the address of a provider.
    """

    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    set_by_operator: bool = False

    @classmethod
    def of(cls, text: str, *, set_by_operator: bool = False) -> "Proxy":
        """Return the proxy of a URL. Raise ValueError, without its credentials, if it is none."""
        match = _PROXY.fullmatch(text.strip())
        if not match or int(match["port"] or 0) > 65535:
            raise ValueError(f"this is not the URL of a proxy; give one such as {PROXY_EXAMPLE}")
        scheme = (match["scheme"] or "http").lower()
        if scheme != "http":
            raise ValueError(f"the URL of a proxy must begin with http://, not {scheme}://")
        user, password = unquote(match["user"] or ""), unquote(match["password"] or "")
        _check_credentials(user, password)
        port = f":{match['port']}" if match["port"] else ""
        return cls(f"http://{match['host']}{port}", user, password, set_by_operator)

    @property
    def url_with_credentials(self) -> str:
        """Return the URL for the HTTP library, not for messages."""
        if not (self.user or self.password):
            return self.url
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return self.url.replace("://", f"://{login}@", 1)

    @property
    def host(self) -> str:
        """Return the host without the brackets of an IPv6 address."""
        return urlsplit(self.url).hostname or ""


def _check_credentials(user: str, password: str) -> None:
    if ":" in user or not (user + password).isprintable():
        raise ValueError("the user or the password of the proxy has forbidden characters")
    try:
        (user + password).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(
            "the user or the password of the proxy has characters beyond Latin-1"
        ) from None


def proxy_of_environment(base_url: str) -> Proxy | None:
    """Return the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY give for a URL.

    Raises ValueError.
    """
    proxies = getproxies_environment()
    target = urlsplit(base_url)
    hosts = [host.strip() for host in proxies.get("no", "").split(",")]
    if (
        not proxies
        or proxy_bypass(target.netloc)
        or AddressPolicy(hosts).lists(target.hostname or "")
    ):
        return None
    text = proxies.get(target.scheme) or proxies.get("all") or ""
    return Proxy.of(text, set_by_operator=True) if text else None


@dataclass(frozen=True, slots=True)
class WayOut:
    """The network set-up of calls to one provider.

    The public certificate authorities come from certifi, or with `system_store` from the operating
    system. `authorities` (PEM) are trusted in addition. `client_certificate` (PEM, with its key) is
    sent to servers that request one.
    """

    system_store: bool = False
    authorities: str = field(default="", repr=False)
    client_certificate: str = field(default="", repr=False)
    proxy: Proxy | None = None

    def ssl_context(self) -> ssl.SSLContext:
        """Return the TLS context, cached for equal values. Raise ValueError if it is invalid."""
        return _ssl_context(self.system_store, self.authorities, self.client_certificate)


DIRECT = WayOut()


# Creating a context takes 30 ms, most of it for the public authorities.
@lru_cache(maxsize=16)
def _ssl_context(system_store: bool, authorities: str, client_certificate: str) -> ssl.SSLContext:  # noqa: FBT001 - of the cache
    context = _system_context() if system_store else httpx.create_ssl_context(trust_env=False)
    if authorities:
        # Trust these certificates directly: a root, an intermediate or the server's own.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _trust(context, authorities)
    if system_store or authorities:
        # Python 3.13 made strict checks the default, which many private authorities fail.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if client_certificate:
        _identify(context, client_certificate)
    return context


def _system_context() -> ssl.SSLContext:
    """Return a context with OpenSSL's default store, including SSL_CERT_FILE."""
    context = ssl.create_default_context()
    if not (context.cert_store_stats()["x509_ca"] or _has_folder_of_certificates()):
        raise ValueError(
            "this system has no store of certificates; set PROVIDER_CA_BUNDLE to a PEM file"
        )
    return context


def _has_folder_of_certificates() -> bool:
    folder = ssl.get_default_verify_paths().capath
    return bool(folder and os.listdir(folder))  # noqa: PTH208 - any entry will do


def checked_authorities(text: str) -> str:
    """Return only the certificates of a text. Raise ValueError if it has none.

    A private key in the text is dropped.
    """
    lines = "\n".join(line.strip() for line in text.splitlines())
    found = _CERTIFICATE.findall(lines)
    if not found:
        raise ValueError(
            "there is no certificate in PEM format (-----BEGIN CERTIFICATE-----); "
            "convert another format with: openssl x509 -inform der -in ca.cer -out ca.pem"
        )
    certificates = "\n".join(found) + "\n"
    _trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificates)
    return certificates


def checked_client_certificate(text: str) -> str:
    """Return a client certificate with its key. Raise ValueError if one of them is missing."""
    lines = "\n".join(line.strip() for line in text.splitlines()) + "\n"
    if not _CERTIFICATE.search(lines):
        raise ValueError("there is no certificate in PEM format (-----BEGIN CERTIFICATE-----)")
    if "ENCRYPTED" in lines:
        raise ValueError("the key has a passphrase; remove it with: openssl pkey -in key.pem")
    if not _PRIVATE_KEY.search(lines):
        raise ValueError("there is no private key in PEM format beside the certificate")
    _identify(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), lines)
    return lines


def _trust(context: ssl.SSLContext, authorities: str) -> None:
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("a certificate in it is damaged or incomplete") from error


def _identify(context: ssl.SSLContext, client_certificate: str) -> None:
    # Python reads it only from a file. Only this user can read the file; it is deleted at once.
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(client_certificate)
        file.flush()
        try:
            # With an empty password, OpenSSL does not ask for one at the terminal.
            context.load_cert_chain(file.name, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError("the key does not belong to the certificate") from error
            raise ValueError("the certificate or its key is damaged") from error
