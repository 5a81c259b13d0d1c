"""A web server keeps its connections to PostgreSQL, and replaces those that are lost."""

import httpx
import psycopg

from tests.processes.api_stack import ApiServer
from tests.processes.stack import Stack
from tests.waiting import PATIENCE_S, wait_until


def test_requests_share_a_connection_until_it_is_lost(postgres_stack: Stack) -> None:
    server = ApiServer(postgres_stack.env, postgres_stack.driver)
    client_token = server.token()
    with psycopg.connect(postgres_stack.env["DATABASE_URL"], autocommit=True) as staff:
        others = sessions(staff)
        with (
            server,
            httpx.Client(base_url=server.base_url, timeout=PATIENCE_S, trust_env=False) as client,
        ):
            client.headers["Authorization"] = f"Bearer {client_token}"
            kept = sessions(staff) - others
            assert kept
            for _ in range(10):
                assert client.get("batches").is_success
            assert sessions(staff) - others == kept
            for pid in kept:
                staff.execute("SELECT pg_terminate_backend(%s)", [pid])
            wait_until(lambda: not sessions(staff) & kept, "the end of the sessions")
            assert client.get("batches").is_success


def sessions(staff: "psycopg.Connection[tuple[int, ...]]") -> set[int]:
    """Return the processes of the sessions of this database."""
    rows = staff.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        # Not those of the server itself, such as autovacuum.
        " AND backend_type = 'client backend'"
    )
    return {pid for (pid,) in rows}
