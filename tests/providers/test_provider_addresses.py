"""Where a provider may be: base URLs, addresses at the moment of the connection, certificates."""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from batches.engine.errors import Decision, EndpointUnusable, ProviderError
from batches.models import Provider
from batches.net.addresses import AddressPolicy
from batches.providers.client import ProviderClient, checked_base_url
from batches.providers.configured import provider_client
from tests.calling import LOOPBACK, failure, request
from tests.configuring import configure
from tests.scripted_server import ScriptedServer, answer, chat, self_signed


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com/openai/deployments/gpt-4.1_x/~a", None),
        ("http://localhost:8000/v1", None),
        ("http://10.0.0.1:8000", None),
        ("http://[::1]:8000/v1", None),
        ("http://xn--bcher-kva.example/v1", None),
    ],
)
def test_a_plain_url_is_a_base_url(text: str, base_url: str | None) -> None:
    assert checked_base_url(text) == (base_url or text)


NO_BASE_URLS = [
    *("", " ", "api.example.com", "//api.example.com/v1", "/v1", "http://", "https:///v1"),
    *("ftp://example.com", "file:///etc/passwd", "javascript:alert(1)", "gopher://example.com"),
    *("ws://example.com", "http:example.com", "http:/example.com", "http:\\\\example.com"),
    *("http://user@example.com", "http://user:secret@example.com", "http://@example.com"),
    *("http://good.example@evil.example/", "http://good.example\\@evil.example/"),
    *("http://good.example#@evil.example/", "http://good.example?@evil.example/"),
    *("http://example.com\\", "http://example.com/v1\\x", "http://example.com/v1?x=1"),
    *("http://example.com/v1#x", "http://example.com/v1;x", "http://example.com/%2e%2e/"),
    *("http://example.com/a b", " http://example.com", "http://example.com "),
    *("http://example.com\n", "http://example.com/v1\n", "\nhttp://example.com"),
    *("http://exa\nmple.com", "http://example.com/\r\nHost: evil", "http://example.com/\x00"),
    *("http://example.com\t/v1", "http://example.com/\x7f", "http://example.com/\u2028"),
    *("http://ex\xe4mple.com", "http://example\u3002com", "http://example.com/caf\xe9"),
    *("http://example.com:", "http://example.com:port", "http://example.com:-1"),
    *("http://example.com:99999", "http://example.com:123456", "http://[::1", "http://::1/"),
    *("http://[::1]evil", "http://[v1.x]/", "http://[fe80::1%25eth0]/", "http://[:::]/"),
    *("http://256.256.256.256/", "http://*.example.com", "http://[1.2.3.4]/"),
]


@pytest.mark.parametrize("text", NO_BASE_URLS)
def test_what_two_parsers_might_read_differently_is_no_base_url(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid base URL"):
        checked_base_url(text)
    with pytest.raises(ValueError, match="is not a valid base URL"):
        ProviderClient(text)


HOSTS_THAT_ARE_NONE = [
    *("a..b", ".", "...", ".example", "a" * 64 + ".example", "xn--", "xn--ls8h.la"),
    *("a." * 150 + "b", "1.2.3.4.5", "999999999999", "127.0.0.1.", "1.2.3"),
]


@pytest.mark.parametrize("host", HOSTS_THAT_ARE_NONE)
async def test_a_host_that_is_none_is_refused_or_a_fault_of_the_provider(host: str) -> None:
    # Anything else would count as a defect of ours, prompt after prompt.
    try:
        client = ProviderClient(f"http://{host}/v1")
    except ValueError as error:
        assert "is not a valid base URL" in str(error)  # noqa: PT017 - one of two ways to say no
        return
    async with client:
        assert isinstance(await failure(client), ProviderError)


NOWHERE_PRIVATE = AddressPolicy()

LOOPBACK_HOSTS = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "127.1",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
]


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
async def test_this_machine_cannot_be_reached_however_it_is_spelt(host: str) -> None:
    async with ScriptedServer(answer(chat())) as canary:
        try:
            client = ProviderClient(
                f"http://{host}:{canary.port}/v1", api_key="sk-1234", addresses=NOWHERE_PRIVATE
            )
        except ValueError:
            return
        async with client:
            error = await failure(client)
        assert type(error) is EndpointUnusable
        assert error.decision is Decision.PAUSE
        assert canary.connections == 0


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", None),
        ("0x7f.1", None),
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.1]", None),
        ("169.254.169.254", "169.254.169.254"),
    ],
)
async def test_a_refused_address_is_named_with_the_remedy(host: str, address: str | None) -> None:
    async with ProviderClient(f"http://{host}:1/v1", addresses=NOWHERE_PRIVATE) as client:
        error = await failure(client)
    assert type(error) is EndpointUnusable
    assert "not a public address" in error.message
    assert "Errno" not in error.message
    assert f"addresses=AddressPolicy(['{address or ''}" in error.message


async def test_a_client_of_python_code_calls_this_machine_and_no_other_private_address() -> None:
    async with ScriptedServer(answer(chat())) as server:
        async with ProviderClient(f"http://localhost:{server.port}/v1") as client:
            assert (await client.send(request())).answer == "hello"
        async with ProviderClient("http://10.1.2.3/v1") as client:
            error = await failure(client)
    assert type(error) is EndpointUnusable
    assert "give ProviderClient addresses=AddressPolicy(['10.1.2.3'])" in error.message


def test_a_client_of_a_provider_calls_only_what_the_setting_lists(settings: Any) -> None:
    async def call() -> None:
        async with ScriptedServer(answer(chat())) as canary:
            base_url = f"http://127.0.0.1:{canary.port}/v1"
            provider = Provider(name="mine", base_url=base_url, api_key_encrypted="")
            async with provider_client(provider, connections=1) as client:
                error = await failure(client)
            assert "set PROVIDER_PRIVATE_HOSTS=127.0.0.1" in error.message
            assert canary.connections == 0

    configure(settings, PROVIDER_PRIVATE_HOSTS=[])
    asyncio.run(call())


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("localhost", "127.0.0.0/8"),
        ("localhost", "localhost"),
        ("LOCALHOST", "localhost"),
        ("localhost", "LocalHost"),
        ("0x7f.1", "127.0.0.1"),
    ],
)
async def test_a_private_address_is_called_if_its_name_or_network_is_listed(
    host: str, listed: str
) -> None:
    async with ScriptedServer(answer(chat())) as server:
        base_url = f"http://{host}:{server.port}/v1"
        async with ProviderClient(base_url, addresses=AddressPolicy([listed])) as client:
            assert (await client.send(request())).answer == "hello"


@pytest.mark.parametrize("listed", ["127.0.0.2", "10.0.0.0/8", "::1", "localhost.example", "local"])
async def test_what_is_listed_allows_nothing_else(listed: str) -> None:
    async with ScriptedServer(answer(chat())) as canary:
        base_url = f"http://localhost:{canary.port}/v1"
        async with ProviderClient(base_url, addresses=AddressPolicy([listed])) as client:
            assert type(await failure(client)) is EndpointUnusable
        assert canary.connections == 0


class Resolving(asyncio.SelectorEventLoop):
    """An event loop in which provider.test leads where a test says, answer after answer."""

    answers: Sequence[Sequence[str]] = ()
    asked = 0

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        if host != "provider.test":
            return await super().getaddrinfo(host, port, **options)
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)
            for address in addresses
            for family, place in [
                (socket.AF_INET6, (address, port, 0, 0))
                if ":" in address
                else (socket.AF_INET, (address, port))
            ]
        ]


def resolving(*answers: Sequence[str], run: Coroutine[Any, Any, None]) -> None:
    def loop() -> Resolving:
        made = Resolving()
        made.answers = answers
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["127.0.0.1", "127.0.0.2"],
        ["::1", "127.0.0.1"],
        ["127.0.0.1", "::1", "::ffff:7f00:1", "169.254.169.254"],
    ],
)
def test_a_name_that_leads_only_to_private_addresses_is_a_fault_of_the_setup(
    addresses: list[str],
) -> None:
    # As localhost mostly does: it has an address of both families.
    async def call() -> None:
        async with ScriptedServer(answer(chat())) as canary:
            base_url = f"http://provider.test:{canary.port}/v1"
            async with ProviderClient(base_url, addresses=NOWHERE_PRIVATE) as client:
                error = await failure(client)
            assert type(error) is EndpointUnusable
            assert "AddressPolicy(" in error.message
            assert "Errno" not in error.message
            assert canary.connections == 0

    resolving(addresses, run=call())


def test_a_name_with_one_address_that_may_be_called_is_called_there() -> None:
    async def call() -> None:
        async with ScriptedServer(answer(chat())) as server:
            base_url = f"http://provider.test:{server.port}/v1"
            policy = AddressPolicy(["127.0.0.1"])
            async with ProviderClient(base_url, addresses=policy) as client:
                assert (await client.send(request())).answer == "hello"

    resolving(["::1", "127.0.0.2", "127.0.0.1"], run=call())


def test_a_name_that_leads_elsewhere_the_next_time_is_checked_again() -> None:
    # The first answer may be called; the second is the metadata service, so to speak.
    async def call() -> None:
        policy = AddressPolicy(["127.0.0.2"])
        async with ScriptedServer(answer(chat())) as canary:
            base_url = f"http://provider.test:{canary.port}/v1"
            for _ in range(2):
                async with ProviderClient(base_url, addresses=policy) as client:
                    error = await failure(client)
            assert type(error) is EndpointUnusable
            assert canary.connections == 0
            loop = asyncio.get_running_loop()
            assert isinstance(loop, Resolving)
            assert loop.asked == 2

    resolving(["127.0.0.2"], ["127.0.0.1"], run=call())


def test_a_listed_name_is_called_wherever_it_leads() -> None:
    async def call() -> None:
        async with ScriptedServer(answer(chat())) as server:
            base_url = f"http://provider.test:{server.port}/v1"
            policy = AddressPolicy(["Provider.Test"])
            async with ProviderClient(base_url, addresses=policy) as client:
                assert (await client.send(request())).answer == "hello"

    resolving(["127.0.0.1"], run=call())


async def test_a_certificate_that_nobody_vouches_for_is_a_fault_of_the_setup(
    tmp_path: Path,
) -> None:
    async with ScriptedServer(answer(chat()), tls=self_signed(tmp_path)) as server:
        async with ProviderClient(server.base_url, addresses=LOOPBACK, api_key="sk-1") as client:
            error = await failure(client)
        assert type(error) is EndpointUnusable
        assert "certificate" in error.message.lower()
        assert server.requests == []


async def test_a_server_without_tls_is_no_https_provider() -> None:
    received: list[bytes] = []

    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(complain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        base_url = f"https://127.0.0.1:{port}/v1"
        async with ProviderClient(base_url, addresses=LOOPBACK, api_key="sk-1234") as client:
            assert isinstance(await failure(client), ProviderError)
    assert received
    assert b"sk-1234" not in b"".join(received)
