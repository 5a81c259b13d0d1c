"""A throw-away PgBouncer in transaction mode, before a PostgreSQL of the tests."""

import os

import psycopg

from tests.owned_process import OwnedProcess
from tests.server_process import Server
from tests.servers import NOBODY, PostgresServer
from tests.system_tools import system_tool

# Few, so that clients really share them.
SESSIONS = 3

CONFIG = """
[databases]
* = host=127.0.0.1 port={server} user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
"""


class PgBouncerServer(Server):
    """It refuses to run as root; then it runs as nobody."""

    def __init__(self, postgres: PostgresServer) -> None:
        super().__init__()
        self._postgres = postgres
        self._user = NOBODY if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(self.folder, self._user, self._user)

    def url_of(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def launch(self) -> OwnedProcess:
        binary = system_tool("pgbouncer", package="pgbouncer")
        path = self.folder / "pgbouncer.ini"
        path.write_text(
            CONFIG.format(server=self._postgres.port, port=self.port, sessions=SESSIONS)
        )
        return OwnedProcess([binary, str(path)], cwd=self.folder, user=self._user)

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url_of("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True
