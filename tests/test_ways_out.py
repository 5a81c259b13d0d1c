"""Private authorities, client certificates, proxies: over real sockets, each with its remedy."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batches.addresses import AddressPolicy
from batches.engine.errors import (
    AuthError,
    EndpointUnusable,
    NetworkError,
    ProviderError,
    RequestRefused,
)
from batches.provider_client import ProviderClient
from batches.ways_out import (
    Proxy,
    WayOut,
    checked_authorities,
    checked_client_certificate,
    proxy_of_environment,
)
from tests.alerting_server import AlertingServer
from tests.calling import LOOPBACK, failure, request, serving
from tests.certificates import DAY, Authority
from tests.forward_proxy import ForwardProxy
from tests.scripted_server import ScriptedServer, answer, as_bytes, chat, closed_port, head

NOWHERE_PRIVATE = AddressPolicy()
CA = Authority()
OTHER_CA = Authority("Another CA")
BELOW = Authority("Intermediate", above=CA)
TRUSTING = WayOut(authorities=CA.pem)
WITH_CERTIFICATE = WayOut(authorities=CA.pem, client_certificate=CA.issue())

HERE = "127.0.0.1"


def client_of(url: str, way_out: WayOut, **options: Any) -> ProviderClient:
    return ProviderClient(url, **{"addresses": LOOPBACK, **options}, way_out=way_out)


async def answered(url: str, way_out: WayOut, **options: Any) -> str | None:
    async with client_of(url, way_out, **options) as client:
        return (await client.send(request())).answer


async def error_at(url: str, way_out: WayOut, **options: Any) -> ProviderError:
    async with client_of(url, way_out, **options) as client:
        return await failure(client)


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
        assert type(error) is NetworkError
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
    assert type(error) is NetworkError
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
    async with serving(lambda visit: _closing(visit, alert)) as (_, client):
        error = await failure(client)
    assert type(error) is EndpointUnusable
    assert "did you mean https://?" in error.message


async def _closing(visit: Any, data: bytes) -> None:
    await visit.send(data)
    visit.writer.close()


async def test_a_port_with_tls_that_closes_at_once_is_hinted_at(tmp_path: Path) -> None:
    async with ScriptedServer(answer(chat()), tls=CA.server(tmp_path, HERE)) as server:
        error = await error_at(f"http://{HERE}:{server.port}/v1", WayOut())
    assert type(error) is NetworkError
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


SCHEMES = ("http", "https")


def target(scheme: str, folder: Path, step: Any = None) -> ScriptedServer:
    tls = CA.server(folder, HERE, "provider.test") if scheme == "https" else None
    return ScriptedServer(step or answer(chat()), tls=tls)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("written", "login"), [("", ""), ("user:p%40ss%3A@", "user:p@ss:"), ("user:p@ss@", "user:p@ss")]
)
async def test_calls_go_through_the_proxy(
    scheme: str, written: str, login: str, tmp_path: Path
) -> None:
    async with target(scheme, tmp_path) as server, ForwardProxy(login=login) as proxy:
        way = WayOut(authorities=CA.pem, proxy=Proxy.of(f"http://{written}{HERE}:{proxy.port}"))
        async with client_of(server.base_url, way, api_key="sk-1234") as client:
            for _ in range(3):
                assert (await client.send(request())).answer == "hello"
    assert len(server.requests) == 3
    if scheme == "https":
        # One tunnel; the proxy sees neither the path nor the key.
        assert proxy.seen == [f"CONNECT {HERE}:{server.port} HTTP/1.1"]
        assert not any("sk-1234" in each or "threephase" in each for each in proxy.heads)
    else:
        assert proxy.seen == [f"POST {server.base_url}/chat/completions HTTP/1.1"] * 3
    assert set(proxy.credentials) == {login}
    for sent in server.requests:
        assert sent.path == "/v1/chat/completions"
        assert sent.header("proxy-authorization") is None
        assert sent.header("authorization") == "Bearer sk-1234"
        assert sent.header("accept-encoding") == "identity"


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_name_is_looked_up_by_the_proxy(scheme: str, tmp_path: Path) -> None:
    leads_to = {"provider.test": HERE}
    async with target(scheme, tmp_path) as server, ForwardProxy(leads_to=leads_to) as proxy:
        way = WayOut(authorities=CA.pem, proxy=Proxy.of(proxy.url))
        assert await answered(f"{scheme}://provider.test:{server.port}/v1", way) == "hello"


REFUSALS: list[tuple[int, type[ProviderError], str]] = [
    (407, EndpointUnusable, "give user and password in the proxy's URL: PROVIDER_PROXY="),
    (403, EndpointUnusable, "does not let us through (HTTP 403); have this host allowed"),
    (400, EndpointUnusable, "opens no tunnels to it (HTTP 400); check PROVIDER_PROXY"),
    (405, EndpointUnusable, "opens no tunnels to it (HTTP 405); check PROVIDER_PROXY"),
    (501, EndpointUnusable, "opens no tunnels to it (HTTP 501); check PROVIDER_PROXY"),
    (429, NetworkError, "the proxy cannot reach it (HTTP 429)"),
    (502, NetworkError, "the proxy cannot reach it (HTTP 502)"),
    (503, NetworkError, "the proxy cannot reach it (HTTP 503)"),
    (504, NetworkError, "the proxy cannot reach it (HTTP 504)"),
]


@pytest.mark.parametrize(("status", "cls", "says"), REFUSALS)
async def test_a_proxy_that_refuses_is_told_of(
    status: int, cls: type[ProviderError], says: str, tmp_path: Path
) -> None:
    async with ForwardProxy(status=status) as proxy:
        way = WayOut(proxy=Proxy.of(proxy.url))
        error = await error_at("https://api.example.com/v1", way)
    assert type(error) is cls
    assert says in error.message
    assert f"https://api.example.com/v1 (through the proxy {proxy.url}): " in error.message


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_credentials_that_a_proxy_refuses_are_told_of_and_not_shown(scheme: str) -> None:
    async with ForwardProxy(login="user:right") as proxy:
        url = f"http://user:canary@{HERE}:{proxy.port}"
        way = WayOut(proxy=Proxy.of(url))
        error = await error_at(f"{scheme}://api.example.com/v1", way)
    assert type(error) is EndpointUnusable
    assert "PROVIDER_PROXY=http://user:password@host" in error.message
    assert "canary" not in repr(error) + repr(way)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        (f"http://{HERE}:{{port}}", "Connection refused"),
        ("http://proxy.invalid:3128", "the proxy cannot be reached: "),
    ],
)
async def test_a_proxy_that_is_not_there_is_a_fault_of_the_network(
    scheme: str, proxy: str, says: str
) -> None:
    way = WayOut(proxy=Proxy.of(proxy.format(port=closed_port())))
    error = await error_at(f"{scheme}://api.example.com/v1", way)
    assert type(error) is NetworkError
    assert "the proxy cannot be reached: " in error.message
    assert says in error.message


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"),  # noqa: S104 - a way to reach this machine
        *("127.1", "2130706433", "0x7f.1", "017700000001", "127.0.0.1."),
        *("localhost", "LOCALHOST", "localhost.", "a.localhost"),
    ],
)
async def test_a_private_address_is_not_called_through_a_proxy_either(
    scheme: str, host: str
) -> None:
    async with ForwardProxy() as proxy:
        way = WayOut(proxy=Proxy.of(proxy.url, set_by_operator=True))
        error = await error_at(f"{scheme}://{host}:9/v1", way, addresses=NOWHERE_PRIVATE)
    assert type(error) is EndpointUnusable
    assert "is not a public address" in error.message
    assert proxy.seen == []


async def test_a_proxy_of_the_operator_may_be_private_and_no_other() -> None:
    async with ForwardProxy(status=502) as proxy:
        ours = WayOut(proxy=Proxy.of(proxy.url, set_by_operator=True))
        theirs = WayOut(proxy=Proxy.of(proxy.url))
        url = "https://api.example.com/v1"
        assert type(await error_at(url, ours, addresses=NOWHERE_PRIVATE)) is NetworkError
        assert len(proxy.seen) == 1
        refused = await error_at(url, theirs, addresses=NOWHERE_PRIVATE)
    assert type(refused) is EndpointUnusable
    assert f"{HERE} is not a public address" in refused.message
    assert len(proxy.seen) == 1


async def test_an_answer_that_came_through_a_proxy_is_judged_like_any_other(
    tmp_path: Path,
) -> None:
    step = answer({"error": {"message": "no", "code": "invalid_api_key"}}, status=401)
    async with target("https", tmp_path, step) as server, ForwardProxy() as proxy:
        way = WayOut(authorities=CA.pem, proxy=Proxy.of(proxy.url))
        assert type(await error_at(server.base_url, way)) is AuthError


async def test_a_tunnel_that_breaks_off_is_a_fault_of_the_network(tmp_path: Path) -> None:
    good = as_bytes(chat())

    async def cut(visit: Any) -> None:
        await _closing(visit, head(content_length=len(good) + 1) + good)

    async with target("https", tmp_path, cut) as server, ForwardProxy() as proxy:
        way = WayOut(authorities=CA.pem, proxy=Proxy.of(proxy.url))
        assert type(await error_at(server.base_url, way)) is NetworkError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        (" http://proxy.example:3128/ ", "http://proxy.example:3128"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("HTTP://proxy", "http://proxy"),
        ("http://user:pa:ss@w/o?r#d@proxy:1", "http://proxy:1"),
        ("user@10.0.0.1:8080", "http://10.0.0.1:8080"),
    ],
)
def test_a_proxy_is_read_however_it_is_written(text: str, url: str) -> None:
    assert Proxy.of(text).url == url


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the URL of a proxy"),
        ("http://", "the URL of a proxy"),
        ("http://u:canary@proxy:3128/path", "the URL of a proxy"),
        ("http://u:canary@proxy:99999", "the URL of a proxy"),
        ("http://u:canary@proxy example", "the URL of a proxy"),
        ("https://u:canary@proxy:3128", "http://, not https://"),
        ("socks5://u:canary@proxy:1080", "http://, not socks5://"),
        ("http://u:canary%0d%0aX: y@proxy:1", "cannot have"),
        ("http://u%3Ax:canary@proxy:1", "cannot have"),
        ("http://u:canary\u20ac@proxy:1", "Latin-1"),
    ],
)
def test_what_is_no_proxy_is_refused_without_its_password(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        Proxy.of(text)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "base_url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://a:1"}, "https://x.example/v1", "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1"}, "http://x.example/v1", None),
        ({"https_proxy": "a:1", "HTTP_PROXY": "b:2"}, "http://x.example/v1", "http://b:2"),
        ({"ALL_PROXY": "http://a:1"}, "https://x.example/v1", "http://a:1"),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "x.example"}, "https://x.example/v1", None),
        ({"ALL_PROXY": "a:1", "no_proxy": ".example, b"}, "https://x.example:8/v1", None),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "*"}, "https://x.example/v1", None),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "10.0.0.0/8"}, "http://10.1.2.3:8/v1", None),
        ({"ALL_PROXY": "a:1", "NO_PROXY": "10.0.0.0/8"}, "http://11.1.2.3:8/v1", "http://a:1"),
        ({}, "https://x.example/v1", None),
    ],
)
def test_the_environment_gives_a_proxy_where_it_is_asked(
    env: dict[str, str], base_url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    found = proxy_of_environment(base_url)
    assert (found.url if found else None) == proxy
    assert found is None or found.set_by_operator


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
