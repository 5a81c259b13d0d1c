"""Private authorities and client certificates over real sockets; each fault with its remedy."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batches.engine.errors import (
    EndpointUnusable,
    NetworkError,
    RequestRefused,
)
from batches.net.addresses import AddressPolicy
from batches.net.ways_out import (
    WayOut,
    checked_authorities,
    checked_client_certificate,
)
from tests.alerting_server import AlertingServer
from tests.calling import answered, error_at, failure, serving
from tests.certificates import DAY, Authority
from tests.scripted_server import ScriptedServer, answer, chat, closes

CA = Authority()
OTHER_CA = Authority("Another CA")
BELOW = Authority("Intermediate", above=CA)
TRUSTING = WayOut(authorities=CA.pem)
WITH_CERTIFICATE = WayOut(authorities=CA.pem, client_certificate=CA.issue())

HERE = "127.0.0.1"


@pytest.mark.parametrize(
    ("issuer", "trusted"),
    [
        (CA, CA.pem),
        (CA, OTHER_CA.pem + CA.pem),
        (BELOW, CA.pem),
        # Not a root, but what was named is trusted.
        (BELOW, BELOW.pem),
    ],
)
async def test_a_server_of_an_authority_that_is_named_is_called(
    issuer: Authority, trusted: str, tmp_path: Path
) -> None:
    async with ScriptedServer(answer(chat()), tls=issuer.server(tmp_path, HERE)) as server:
        assert await answered(server.base_url, WayOut(authorities=trusted)) == "hello"


async def test_the_certificate_of_a_server_itself_may_be_named(tmp_path: Path) -> None:
    context = CA.server(tmp_path, HERE)
    its_own = checked_authorities((tmp_path / "server.pem").read_text())
    async with ScriptedServer(answer(chat()), tls=context) as server:
        assert await answered(server.base_url, WayOut(authorities=its_own)) == "hello"


async def test_authorities_are_trusted_besides_the_public_ones() -> None:
    public = len(WayOut().ssl_context().get_ca_certs())
    assert public > 50
    assert len(TRUSTING.ssl_context().get_ca_certs()) == public + 1


async def test_the_environment_trusts_nobody_unless_the_system_store_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text(CA.pem)
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(bundle))
    system = WayOut(system_store=True, client_certificate=CA.issue())
    async with ScriptedServer(answer(chat()), tls=CA.server(tmp_path, HERE)) as server:
        assert type(await error_at(server.base_url, WayOut())) is EndpointUnusable
        assert await answered(server.base_url, system) == "hello"


def tls_1_1(context: ssl.SSLContext) -> ssl.SSLContext:
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def at_most_1_2(context: ssl.SSLContext) -> ssl.SSLContext:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def as_it_is(context: ssl.SSLContext) -> ssl.SSLContext:
    return context


def wanting(context: ssl.SSLContext) -> ssl.SSLContext:
    return CA.wants_clients(context)


def wanting_1_2(context: ssl.SSLContext) -> ssl.SSLContext:
    return CA.wants_clients(at_most_1_2(context))


@dataclass(frozen=True)
class Fault:
    """A server that cannot be called, and the words of its error."""

    says: tuple[str, ...]
    names: tuple[str, ...] = (HERE,)
    validity: dict[str, Any] = field(default_factory=dict)
    change: Callable[[ssl.SSLContext], ssl.SSLContext] = as_it_is
    way_out: WayOut = TRUSTING
    url: str = "https://127.0.0.1:{port}/v1"


BUNDLE = ("not signed by an authority that is trusted", "PROVIDER_CA_BUNDLE", "the provider")
CERTIFICATE = ("client certificate", "PROVIDER_CLIENT_CERT", "the provider")
FOREIGN = WayOut(authorities=CA.pem, client_certificate=OTHER_CA.issue())
OUTDATED = WayOut(authorities=CA.pem, client_certificate=CA.issue(ends=-DAY / 2))

FAULTS: dict[str, Fault] = {
    "unknown authority": Fault(BUNDLE, way_out=WayOut()),
    "another authority": Fault(BUNDLE, way_out=WayOut(authorities=OTHER_CA.pem)),
    "expired": Fault(("has expired", "on the server"), validity={"ends": -DAY / 2}),
    "not yet valid": Fault(("not valid yet", "clock"), validity={"begins": DAY / 2}),
    "another name": Fault(
        ("for another name", "base URL"), ("a.example",), url="https://localhost:{port}/v1"
    ),
    "another address": Fault(("not for this IP address", "base URL"), ("a.example",)),
    "no name": Fault(("not for this IP address",), ()),
    "old TLS": Fault(("TLS version", "updated"), change=tls_1_1),
    "no client certificate": Fault(CERTIFICATE, change=wanting),
    "no client certificate, TLS 1.2": Fault(CERTIFICATE, change=wanting_1_2),
    "a foreign one": Fault(("refuses our", *CERTIFICATE), change=wanting, way_out=FOREIGN),
    "a foreign one, TLS 1.2": Fault(
        ("refuses our", "unknown ca", *CERTIFICATE), change=wanting_1_2, way_out=FOREIGN
    ),
    "an outdated one": Fault(
        ("refuses our", "certificate expired", *CERTIFICATE), change=wanting, way_out=OUTDATED
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_fault_of_tls_is_told_with_its_remedy(fault: Fault, tmp_path: Path) -> None:
    context = fault.change(CA.server(tmp_path, *fault.names, **fault.validity))
    with AlertingServer(context) as server:
        url = fault.url.format(port=server.port)
        error = await error_at(url, fault.way_out, addresses=AddressPolicy(["localhost", HERE]))
    # It pauses; no prompt fails for it.
    assert type(error) is EndpointUnusable
    assert error.message.startswith(f"{url}: ")
    assert all(part in error.message for part in fault.says), error.message
    assert not any(word in error.message for word in ("_ssl.c", "Errno", "SSL_", "ALERT", "None"))


@pytest.mark.parametrize("change", [wanting, wanting_1_2])
async def test_a_server_that_asks_for_a_certificate_is_shown_it(
    change: Callable[[ssl.SSLContext], ssl.SSLContext], tmp_path: Path
) -> None:
    with AlertingServer(change(CA.server(tmp_path, HERE))) as server:
        assert await answered(f"https://{HERE}:{server.port}/v1", WITH_CERTIFICATE) == "hello"


async def test_a_server_that_resets_instead_of_saying_so_is_hinted_at(tmp_path: Path) -> None:
    # As uvicorn does, and with it vLLM.
    context = CA.wants_clients(CA.server(tmp_path, HERE))
    async with ScriptedServer(answer(chat()), tls=context) as server:
        error = await error_at(server.base_url, TRUSTING)
        assert isinstance(error, NetworkError)
        assert "if it asks for a client certificate, set PROVIDER_CLIENT_CERT" in error.message
        assert await answered(server.base_url, WITH_CERTIFICATE) == "hello"


async def test_https_to_a_port_without_tls_is_told_of() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(plain, HERE, 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await error_at(f"https://{HERE}:{port}/v1", WayOut())
    # A gateway that restarts may answer like this too, so it is tried again.
    assert isinstance(error, NetworkError)
    assert "does not speak TLS; did you mean http://?" in error.message


PAGES_FOR_PLAIN_HTTP: dict[str, str] = {
    "nginx": "<center>The plain HTTP request was sent to HTTPS port</center>",
    "Apache": "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
    "Go": "Client sent an HTTP request to an HTTPS server.\n",
    "Tomcat": "Bad Request\nThis combination of host and port requires TLS.",
    "cheroot": "The client sent a plain HTTP request, but this server only speaks HTTPS on this.",
}


@pytest.mark.parametrize("page", PAGES_FOR_PLAIN_HTTP.values(), ids=PAGES_FOR_PLAIN_HTTP)
async def test_plain_http_to_a_port_with_tls_is_told_of(page: str) -> None:
    async with serving(answer(page.encode(), status=400)) as (_, client):
        error = await failure(client)
    assert type(error) is EndpointUnusable
    assert "speaks TLS; did you mean https://?" in error.message


@pytest.mark.parametrize(
    "alert", [b"\x15\x03\x01\x00\x02\x02\x46", b"\x15\x03\x03\x00\x02\x02\x0a"]
)
async def test_an_alert_in_answer_to_plain_http_is_told_of(alert: bytes) -> None:
    async with serving(closes(alert)) as (_, client):
        error = await failure(client)
    assert type(error) is EndpointUnusable
    assert "did you mean https://?" in error.message


async def test_a_port_with_tls_that_closes_at_once_is_hinted_at(tmp_path: Path) -> None:
    async with ScriptedServer(answer(chat()), tls=CA.server(tmp_path, HERE)) as server:
        error = await error_at(f"http://{HERE}:{server.port}/v1", WayOut())
    assert isinstance(error, NetworkError)
    assert "if this port speaks TLS, write https://" in error.message


async def test_a_redirect_to_https_of_the_same_host_is_told_of() -> None:
    step = answer(b"", status=308, location=f"https://{HERE}/v1/chat/completions")
    async with serving(step) as (_, client):
        error = await failure(client)
    assert type(error) is EndpointUnusable
    assert "did you mean https://?" in error.message


async def test_what_an_api_says_of_a_prompt_about_tls_is_not_taken_for_the_set_up() -> None:
    message = "invalid prompt: 'The plain HTTP request was sent to HTTPS port'"
    async with serving(answer({"error": {"message": message}}, status=400)) as (_, client):
        assert type(await failure(client)) is RequestRefused


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (400, "<center>No required SSL certificate was sent</center>"),
        (400, "<center>The SSL certificate error</center>"),
        (496, "<html>"),
        (403, "403.7 - Client certificate required"),
    ],
)
async def test_a_page_that_asks_for_a_client_certificate_is_told_of(
    status: int, page: str, tmp_path: Path
) -> None:
    step = answer(page.encode(), status=status)
    async with ScriptedServer(step, tls=CA.server(tmp_path, HERE)) as server:
        error = await error_at(server.base_url, TRUSTING)
    assert type(error) is EndpointUnusable
    assert all(part in error.message for part in CERTIFICATE)


def test_certificates_are_found_among_other_text() -> None:
    key = CA.issue().partition("-----BEGIN CERTIFICATE-----")[0]
    indented = "\n".join("    " + line for line in CA.pem.splitlines())
    text = f"# Főtanúsítvány\n{indented}\r\n{key}\n{OTHER_CA.pem}"
    assert checked_authorities(text) == CA.pem + OTHER_CA.pem


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no certificate in PEM format"),
        ("/etc/ssl/ca.pem", "no certificate in PEM format"),
        ("\x30\x82\x01", "openssl x509 -inform der"),
        (CA.pem.replace("M", "A"), "damaged"),
        (CA.pem[:200] + CA.pem[300:], "damaged"),
    ],
)
def test_what_holds_no_certificate_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_authorities(text)


LEAF = CA.issue()
KEY, _, CERTIFICATE_ALONE = LEAF.partition("-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no certificate"),
        (CERTIFICATE_ALONE, "no private key"),
        (KEY + "-----END PRIVATE KEY-----\n", "no certificate"),
        (KEY + "-----END PRIVATE KEY-----\n" + CA.pem, "does not belong"),
        (CA.issue(passphrase="secret"), "passphrase"),
        (LEAF.replace("M", "A"), "damaged"),
    ],
)
def test_half_a_client_certificate_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_client_certificate(text)


def test_a_client_certificate_may_come_before_or_after_its_key() -> None:
    for text in (LEAF, CERTIFICATE_ALONE + KEY + "-----END PRIVATE KEY-----\n"):
        checked_client_certificate(text)


def test_equal_ways_share_a_context() -> None:
    assert WayOut(authorities=CA.pem).ssl_context() is TRUSTING.ssl_context()
    assert WayOut().ssl_context() is not TRUSTING.ssl_context()
    assert LEAF not in repr(WITH_CERTIFICATE)
