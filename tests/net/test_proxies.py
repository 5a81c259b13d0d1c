"""Calls through a forward proxy over real sockets; each fault with its remedy."""

from pathlib import Path

import pytest

from batches.engine.errors import (
    AuthError,
    EndpointUnusable,
    NetworkError,
    ProviderError,
    Unreachable,
)
from batches.net.addresses import AddressPolicy
from batches.net.ways_out import Proxy, WayOut, proxy_of_environment
from tests.calling import answered, client_of, error_at, request
from tests.certificates import Authority
from tests.forward_proxy import ForwardProxy
from tests.scripted_server import (
    ScriptedServer,
    Step,
    answer,
    as_bytes,
    chat,
    closed_port,
    closes,
    head,
)

NOWHERE_PRIVATE = AddressPolicy()
CA = Authority()
HERE = "127.0.0.1"

SCHEMES = ("http", "https")


def target(scheme: str, folder: Path, step: Step | None = None) -> ScriptedServer:
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
    (403, EndpointUnusable, "the proxy refuses this host (HTTP 403); have it allowed there"),
    (400, EndpointUnusable, "opens no tunnels to it (HTTP 400); check PROVIDER_PROXY"),
    (405, EndpointUnusable, "opens no tunnels to it (HTTP 405); check PROVIDER_PROXY"),
    (501, EndpointUnusable, "opens no tunnels to it (HTTP 501); check PROVIDER_PROXY"),
    (429, Unreachable, "the proxy cannot reach it (HTTP 429)"),
    (502, Unreachable, "the proxy cannot reach it (HTTP 502)"),
    (503, Unreachable, "the proxy cannot reach it (HTTP 503)"),
    (504, Unreachable, "the proxy cannot reach it (HTTP 504)"),
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
    scheme: str, proxy: str, says: str, nameless: None
) -> None:
    way = WayOut(proxy=Proxy.of(proxy.format(port=closed_port())))
    error = await error_at(f"{scheme}://api.example.com/v1", way)
    assert isinstance(error, NetworkError)
    assert "the proxy cannot be reached: " in error.message
    assert says in error.message


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"),
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
        assert isinstance(await error_at(url, ours, addresses=NOWHERE_PRIVATE), NetworkError)
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
    cut = closes(head(content_length=len(good) + 1) + good)
    async with target("https", tmp_path, cut) as server, ForwardProxy() as proxy:
        way = WayOut(authorities=CA.pem, proxy=Proxy.of(proxy.url))
        assert isinstance(await error_at(server.base_url, way), NetworkError)


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
        ("http://u:canary%0d%0aX: y@proxy:1", "forbidden characters"),
        ("http://u%3Ax:canary@proxy:1", "forbidden characters"),
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
