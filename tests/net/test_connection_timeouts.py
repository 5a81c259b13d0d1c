"""How soon a connection that died is given up, and that sockets to brokers are told so."""

import socket
from typing import Any

import pytest
from amqp.transport import TCPTransport
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from batches.net.connection_timeouts import keepalives, libpq_options, patience_s, socket_options
from config.settings import transport_options
from tests.servers import RedisServer

# Of a lease of a minute, as it is by default.
ON_A_SOCKET = {"TCP_KEEPIDLE": 7, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 15_000}


@given(st.integers(1, 100_000))
def test_it_is_given_up_soon_enough_for_the_lease(lease_s: int) -> None:
    patience = patience_s(lease_s)
    probes = keepalives(lease_s)
    assert min(probes.values()) >= 1
    assert patience / 2 <= probes["idle"] + probes["interval"] * probes["count"] <= patience
    # A renewal is due each quarter of a lease, and trusted for 0.7 of it.
    assert patience <= max(lease_s / 4, 2)
    assert patience <= 30
    assert libpq_options(lease_s)["tcp_user_timeout"] == patience * 1000


def set_on(ours: socket.socket) -> dict[str, int]:
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return {
        name: ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in ON_A_SOCKET
    }


def test_a_connection_to_redis_has_them() -> None:
    with RedisServer() as server:
        options = transport_options(server.url)
        with Connection(server.url, transport_options=options) as broker:
            channel: Any = broker.default_channel
            client = channel.client
            client.ping()
            connection = client.connection_pool.get_connection()
            assert set_on(connection._sock) == ON_A_SOCKET


def test_a_connection_to_rabbitmq_has_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = transport_options(f"amqp://127.0.0.1:{port}//")
        transport = TCPTransport(f"127.0.0.1:{port}", connect_timeout=5, **options)
        transport.connect()
        assert transport.sock
        assert set_on(transport.sock) == ON_A_SOCKET
        transport.close()


@pytest.mark.parametrize("url", ["sqs://", "filesystem://"])
def test_other_brokers_get_no_options_that_they_do_not_know(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    assert transport_options(url) == {}


def test_a_system_without_them_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    assert set(socket_options(60)) == {
        *(socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    }
