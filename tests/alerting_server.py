"""A TLS server that tells by an alert why it will not talk, as most servers do.

asyncio's servers, such as the ScriptedServer, close the connection without one.
"""

import socket
import ssl
import threading
from contextlib import suppress

from tests.scripted_server import as_bytes, chat, head

_BODY = as_bytes(chat())
ANSWER = head(content_length=len(_BODY), connection="close") + _BODY


class AlertingServer:
    """Answers every call with "hello", one connection after the other, in a thread."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> "AlertingServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # It wakes up a thread that waits for the next connection; close() would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        raw = connection.dup()
        try:
            with self._context.wrap_socket(connection, server_side=True) as channel:
                channel.recv(65536)
                channel.sendall(ANSWER)
        except OSError:
            _linger(raw)
        finally:
            raw.close()


def _linger(connection: socket.socket) -> None:
    """Take what still comes, since what is left unread would destroy the alert on its way."""
    with suppress(OSError):
        connection.settimeout(10)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
