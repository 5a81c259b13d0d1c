"""Each error of the network is told in one line with its remedy, by the command and the engine."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from batches.models import Result
from batches.net import transport
from batches.net.addresses import AddressPolicy
from batches.net.ways_out import Proxy, WayOut
from tests.alerting_server import AlertingServer
from tests.calling import error_at
from tests.certificates import DAY, Authority
from tests.command_line import Commands, prompt_lines
from tests.configuring import configure
from tests.forward_proxy import ForwardProxy
from tests.scripted_server import ScriptedServer, answer, chat, closed_port, closes, resets
from tests.scripted_thread import in_thread, scripted

HERE = "127.0.0.1"
CA = Authority()
CHECK = "check the host and the port of the base URL"


@dataclass
class Place:
    """Where the servers of a situation run, and the proxy to them."""

    stack: ExitStack
    folder: Path
    proxy: str = ""
    authorities: str = ""

    def tls(self, *hosts: str, **validity: object) -> ssl.SSLContext:
        return CA.server(self.folder, *hosts, **validity)  # type: ignore[arg-type]  # begins, ends


def refused(_: Place) -> str:
    return f"http://{HERE}:{closed_port()}/v1"


def nameless_host(_: Place) -> str:
    return "https://provider.invalid/v1"


def full_backlog(place: Place) -> str:
    """Return an address that answers no attempt to connect, like one behind a firewall."""
    listener = place.stack.enter_context(socket.create_server((HERE, 0), backlog=0))
    for _ in range(3):
        waiting = place.stack.enter_context(socket.socket())
        waiting.setblocking(False)  # noqa: FBT003 - its signature
        waiting.connect_ex(listener.getsockname())
    return f"http://{HERE}:{listener.getsockname()[1]}/v1"


def without_tls(place: Place) -> str:
    """Return an address with https:// whose server answers the greeting of TLS in plain text."""
    listener = place.stack.enter_context(socket.create_server((HERE, 0)))
    place.stack.callback(listener.shutdown, socket.SHUT_RDWR)
    threading.Thread(target=refuse_all, args=[listener], daemon=True).start()
    return f"https://{HERE}:{listener.getsockname()[1]}/v1"


def refuse_all(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


def waiting_for_more(place: Place) -> str:
    return place.stack.enter_context(scripted(answer(chat()))).replace("http://", "https://")


def with_tls(place: Place) -> str:
    server = place.stack.enter_context(AlertingServer(place.tls(HERE)))
    return f"http://{HERE}:{server.port}/v1"


def with_tls_of_python(place: Place) -> str:
    server = ScriptedServer(answer(chat()), tls=place.tls(HERE))
    place.stack.enter_context(in_thread(server))
    return server.base_url.replace("https://", "http://")


def untrusted(place: Place) -> str:
    server = place.stack.enter_context(AlertingServer(place.tls(HERE)))
    return f"https://{HERE}:{server.port}/v1"


def expired(place: Place) -> str:
    place.authorities = CA.pem
    server = place.stack.enter_context(AlertingServer(place.tls(HERE, ends=-DAY / 2)))
    return f"https://{HERE}:{server.port}/v1"


def of_another_host(place: Place) -> str:
    place.authorities = CA.pem
    server = place.stack.enter_context(AlertingServer(place.tls("a.example")))
    return f"https://localhost:{server.port}/v1"


def refusing_proxy(status: int) -> Callable[[Place], str]:
    def situation(place: Place) -> str:
        place.proxy = place.stack.enter_context(in_thread(ForwardProxy(status=status))).url
        return "https://api.example.com/v1"

    return situation


def no_proxy(place: Place) -> str:
    place.proxy = f"http://{HERE}:{closed_port()}"
    return "https://api.example.com/v1"


def another_protocol(place: Place) -> str:
    return place.stack.enter_context(scripted(closes(b"SSH-2.0-OpenSSH_9.2\r\n")))


def closing(place: Place) -> str:
    return place.stack.enter_context(scripted(closes()))


def resetting(place: Place) -> str:
    return place.stack.enter_context(scripted(resets()))


SITUATIONS: dict[str, tuple[Callable[[Place], str], str]] = {
    "refused": (refused, "connection refused, since no server listens on this port; start it, or"),
    "unknown host": (nameless_host, "there is no host of this name; check the spelling of the"),
    "no connection": (full_backlog, f"no connection within 10 s; {CHECK}, and the firewall"),
    "no TLS": (without_tls, "this port does not speak TLS; did you mean http://?"),
    "no TLS, and silence": (waiting_for_more, "(if it does not speak TLS, write http://)"),
    "TLS": (with_tls, "if this port speaks TLS, write https://"),
    "TLS of Python": (with_tls_of_python, "if this port speaks TLS, write https://"),
    "untrusted": (
        untrusted,
        "not signed by an authority that is trusted here; if you trust it, set",
    ),
    "expired": (expired, "its certificate has expired; it must be renewed on the server"),
    "another host": (of_another_host, "for another name; write the base URL with a name of the"),
    "proxy: 407": (refusing_proxy(407), "give user and password in the proxy's URL"),
    "proxy: 403": (refusing_proxy(403), "the proxy refuses this host (HTTP 403); have it allowed"),
    "proxy: 502": (refusing_proxy(502), "the proxy cannot reach it (HTTP 502); check the base URL"),
    "no proxy": (no_proxy, "the proxy cannot be reached: Connection refused; check PROVIDER_PROXY"),
    "no HTTP": (another_protocol, f"the reply is not HTTP; {CHECK}"),
    "closed": (closing, "the connection was closed without an answer"),
    "reset": (resetting, "the connection was reset"),
}
KNOWN_BY_NUMBER = ("Errno", "[Err", "ssl.c", "Cannot connect to host", "aiohttp", "Multiple exc")


@pytest.fixture(params=SITUATIONS)
def situation(request: pytest.FixtureRequest, nameless: None) -> tuple[Callable[[Place], str], str]:
    return SITUATIONS[request.param]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    # The time itself is no part of the promise, but that it is told.
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT_S", 0.3)
    with ExitStack() as stack:
        yield Place(stack, tmp_path)


def test_the_command_says_it_in_one_line(
    cli: Commands, settings: Settings, place: Place, situation: tuple[Callable[[Place], str], str]
) -> None:
    arrange, remedy = situation
    address = arrange(place)
    configure(settings, PROVIDER_PROXY=place.proxy)
    if place.authorities:
        configure(settings, PROVIDER_CA_BUNDLE=cli.path("ca.pem", place.authorities))
    configure(settings, PROVIDER_PATIENCE=0)
    cli.path("prompts.jsonl", prompt_lines(2))
    ended = cli.process_batch("--base-url", address, "--model", "m", "--max-attempts", "1")
    said = [line for line in ended.stderr.splitlines() if remedy in line]
    assert said, ended.stderr
    assert address in said[0]
    assert said[0].startswith(("Warning: ", "error: "))
    assert not any(words in ended.stderr for words in KNOWN_BY_NUMBER), ended.stderr
    # Of a few prompts that break off, one may be what the server cannot bear.
    breaks_off = "the connection was" in remedy or "speaks TLS" in remedy
    assert ended.status == (1 if breaks_off else 2), ended.stderr
    assert Result.objects.exists() is breaks_off


async def test_the_engine_says_it(
    place: Place, situation: tuple[Callable[[Place], str], str]
) -> None:
    arrange, remedy = situation
    address = arrange(place)
    proxy = Proxy.of(place.proxy) if place.proxy else None
    way = WayOut(authorities=place.authorities, proxy=proxy)
    error = await error_at(address, way, addresses=AddressPolicy(["localhost", HERE]))
    assert error.message.startswith(address)
    assert remedy in error.message
    assert not any(words in error.message for words in KNOWN_BY_NUMBER)
