"""One POST to a receiver that nobody trusts: where it may go, and what becomes of it."""

import asyncio
import threading
from typing import Any

import pytest

from batches.net.addresses import AddressPolicy
from batches.webhooks import client as webhook_client
from batches.webhooks.client import ReceiverReply, check_webhook_url, post
from tests.receivers import receiving, url_of
from tests.scripted_server import (
    Step,
    answer,
    closed_port,
    closes,
    gzip_bomb,
    hangs,
    head,
    resets,
    sends,
    trickles,
)
from tests.waiting import PATIENCE_S

PUBLIC = AddressPolicy()
LOOPBACK = AddressPolicy(["127.0.0.0/8", "localhost"])

# Short enough for a test; the tests ask only which of two ends comes.
DEADLINE_S = 0.5


def sent(url: str, addresses: AddressPolicy = LOOPBACK) -> ReceiverReply:
    return post(url, headers={"webhook-id": "evt_1"}, content=b'{"a":1}', addresses=addresses)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/",
        "https://example.com:8443/hooks/1?token=a%20b&c=d",
        "https://example.com?x=1",
        "https://hooks.example.com/services/T0/B0/~x_y-z.w",
        "https://8.8.8.8/hook",
        "https://[2606:4700::1111]/hook",
    ],
)
def test_a_public_https_url_is_taken(url: str) -> None:
    check_webhook_url(url, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "example.com/hook", "//example.com", "https://", "https:///hook"),
        *("ftp://example.com", "file:///etc/passwd", "javascript:alert(1)", "data:,x"),
        *("https://user@example.com", "https://u:p@example.com/", "https://a@b@example.com"),
        *("https://example.com/#x", "https://example.com\\@evil.example", "https://exa mple.com"),
        *(
            "https://example.com/\r\nHost: evil",
            "https://example.com/\x00",
            "https://example.com\n",
        ),
        *("https://example.com:99999", "https://example.com:port", "https://ex\xe4mple.com"),
        *("https://example.com/%zz", "https://example.com/\u2028", "https://[::1"),
    ],
)
def test_what_two_parsers_might_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        check_webhook_url(url, LOOPBACK)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "[::1]"),
        *("[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1]", "[fd00::1]", "224.0.0.1"),
    ],
)
def test_a_private_address_is_refused_where_it_is_written_down(host: str) -> None:
    with pytest.raises(ValueError, match="WEBHOOK_PRIVATE_HOSTS"):
        check_webhook_url(f"https://{host}/hook", PUBLIC)


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "localhost", "127.1"])
def test_http_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        check_webhook_url(f"http://{host}/hook", PUBLIC)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8"])
def test_http_is_taken_for_a_host_on_the_list(host: str) -> None:
    check_webhook_url(f"http://{host}:8000/hook", LOOPBACK)


def test_a_list_of_private_hosts_allows_http_to_nobody_else() -> None:
    with pytest.raises(ValueError, match="https://"):
        check_webhook_url("http://example.com/hook", LOOPBACK)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_2xx_is_accepted(status: int) -> None:
    with receiving(answer(b"", status=status)) as server:
        assert sent(url_of(server, "/hook?x=%20y")).accepted
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/hook?x=%20y")
    assert request.body == b'{"a":1}'
    assert request.header("webhook-id") == "evt_1"


@pytest.mark.parametrize("status", [300, 304, 400, 404, 410, 429, 500, 503])
def test_any_other_status_is_a_failure_with_that_status(status: int) -> None:
    with receiving(answer(b"", status=status)) as server:
        reply = sent(url_of(server))
    assert reply == ReceiverReply(status)
    assert not reply.accepted


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    with receiving(answer()) as elsewhere:
        redirect = answer(status=status, location=url_of(elsewhere))
        with receiving(redirect) as server:
            reply = sent(url_of(server))
    assert not reply.accepted
    assert reply.status_code == status
    assert elsewhere.connections == 0


HOSTILE: dict[str, Step] = {
    "silent": hangs(),
    "trickles a head": trickles(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "trickles a body": trickles(head(transfer_encoding="chunked"), b"1\r\nx\r\n"),
    "never ends its body": sends(head(content_length=10) + b"x"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_receiver_has_only_so_much_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_client, "DEADLINE_S", DEADLINE_S)
    with receiving(HOSTILE[name]) as server:
        reply = sent(url_of(server))
    assert not reply.accepted
    assert reply.error == "no answer within 0.5 s"


class StuckResolver(asyncio.SelectorEventLoop):
    """An event loop whose name server answers nobody before the test says so."""

    asked = threading.Event()
    released = threading.Event()

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        # In a thread of the loop's, as the real one.
        await self.run_in_executor(None, self._hang)

    def _hang(self) -> None:
        self.asked.set()
        self.released.wait(PATIENCE_S)


def test_a_name_server_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_client, "DEADLINE_S", DEADLINE_S)
    monkeypatch.setattr(asyncio, "new_event_loop", StuckResolver)
    try:
        assert sent("https://example.test/").error == "no answer within 0.5 s"
        assert StuckResolver.asked.is_set()
    finally:
        StuckResolver.released.set()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (resets(), ""),
        (closes(), ""),
        (resets(head(content_length=5) + b"x"), "the answer broke off"),
        (closes(b"SSH-2.0-OpenSSH_9.2 secret banner\r\n"), "the answer is not HTTP"),
    ],
)
def test_a_broken_answer_is_a_failure(step: Step, reason: str) -> None:
    with receiving(step) as server:
        reply = sent(url_of(server))
    assert reply.status_code is None
    assert reply.error
    assert reason in reply.error
    assert "secret" not in reply.error


def test_a_receiver_that_is_not_there_is_a_failure() -> None:
    reply = sent(f"http://127.0.0.1:{closed_port()}/")
    assert reply.status_code is None
    assert reply.error


LONG: dict[str, tuple[bytes, dict[str, str]]] = {
    "plain": (b"x" * 10_000_000, {}),
    "compressed": (gzip_bomb(64), {"content_encoding": "gzip"}),
    "compressed twice": (gzip_bomb(1), {"content_encoding": "gzip, gzip"}),
}


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("name", LONG)
def test_a_long_answer_is_cut_off_and_its_status_counts(name: str, status: int) -> None:
    body, headers = LONG[name]
    with receiving(answer(body, status=status, **headers)) as server:
        assert sent(url_of(server)) == ReceiverReply(status)


def test_this_machine_is_not_called_however_it_is_spelt() -> None:
    with receiving(answer()) as canary:
        for host in ("localhost", "127.1", "2130706433", "0x7f.1", "0", "localhost.", "127.0.0.1"):
            reply = sent(f"https://{host}:{canary.port}/", PUBLIC)
            assert not reply.accepted, host
            assert reply.error, host
        assert canary.connections == 0


def test_a_url_that_is_not_allowed_any_more_is_not_called() -> None:
    with receiving(answer()) as canary:
        reply = sent(url_of(canary), PUBLIC)
        assert "WEBHOOK_PRIVATE_HOSTS" in reply.error
        assert canary.connections == 0
