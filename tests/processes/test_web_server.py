"""What reaches a real web server and is no ordinary request."""

import json
import socket
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.api.calling import error_of
from tests.owned_process import OwnedProcess
from tests.processes.api_stack import ApiServer
from tests.processes.stack import ROOT, Driver
from tests.waiting import PATIENCE_S

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def client_of(server: ApiServer) -> httpx.Client:
    headers = {"Authorization": f"Bearer {server.token()}"}
    return httpx.Client(
        base_url=server.base_url, headers=headers, timeout=PATIENCE_S, trust_env=False
    )


class WsgiServer(ApiServer):
    """The same behind a WSGI server, that of the standard library."""

    def launch(self) -> OwnedProcess:
        serve = (
            "from wsgiref.simple_server import make_server\n"
            "from config.wsgi import application\n"
            f"make_server('127.0.0.1', {self.port}, application).serve_forever()"
        )
        return OwnedProcess([sys.executable, "-c", serve], env=self.env, cwd=ROOT)


@pytest.fixture(scope="module")
def wsgi_server(api_server: ApiServer) -> Iterator[ApiServer]:
    driver = Driver(api_server.env)
    try:
        with WsgiServer(api_server.env, driver) as server:
            yield server
    finally:
        driver.close()


def test_a_websocket_is_refused_with_the_remedy(api_server: ApiServer) -> None:
    with client_of(api_server) as client:
        reply = client.get("batches", headers=HANDSHAKE)
    assert "/events" in error_of(reply, 400)["message"]


@pytest.mark.parametrize("charset", ["idna", "base64", "undefined", "latin-1", "no-such"])
def test_a_charset_but_utf_8_is_refused(api_server: ApiServer, charset: str) -> None:
    with client_of(api_server) as client:
        for kind in ("application/json", "multipart/form-data; boundary=b"):
            headers = {"Content-Type": f"{kind}; charset={charset}"}
            for path in ("files?a=%C3%A9", "batches?a=%C3%A9"):
                error_of(client.post(path, content=b"--b--\r\n", headers=headers), 415)
                error_of(client.get(path, headers=headers), 415)


@pytest.mark.parametrize("value", ["no-such'en'b", "idna'en'%ff", "base64'en'b", "undefined''%ff"])
def test_parameters_in_a_charset_of_their_own_are_refused(
    api_server: ApiServer, value: str
) -> None:
    form = "multipart/form-data; boundary=b"
    field = f'--b\r\nContent-Disposition: form-data; name="file"; filename*={value}\r\n\r\n{{}}\r\n'
    with client_of(api_server) as client:
        for path in ("files", "batches"):
            for kind in (f"application/json; x*={value}", f"{form}; boundary*={value}", form):
                content = f"{field}--b--\r\n".encode()
                reply = client.post(path, content=content, headers={"Content-Type": kind})
                assert error_of(reply, reply.status_code)["type"] == "invalid_request_error"
                assert reply.status_code in (400, 415)


def test_an_address_that_is_no_text_is_refused(api_server: ApiServer) -> None:
    with socket.create_connection(("127.0.0.1", api_server.port), timeout=60) as connection:
        connection.sendall(b"GET /v1/files?purpose=\xff HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    # Whatever the server itself refuses is a text; what reaches Django has the envelope.
    if b"application/json" in head:
        assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_a_query_without_end_is_refused(api_server: ApiServer) -> None:
    with client_of(api_server) as client:
        error_of(client.get("files?" + "a=1&" * 2000), 400)


def test_a_wsgi_server_refuses_what_it_cannot_read(wsgi_server: ApiServer) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"{}"

    with client_of(wsgi_server) as client:
        headers = {"Content-Type": "application/json"}
        error_of(client.post("batches", content=pieces(), headers=headers), 411)
        odd = {"Content-Type": "application/json; charset=idna"}
        error_of(client.post("batches?a=%C3%A9", content=b"{}", headers=odd), 415)
        assert client.get("batches").json()["data"] == []
