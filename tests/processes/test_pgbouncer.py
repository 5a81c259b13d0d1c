"""Everything works through PgBouncer in transaction mode, and leaves nothing in its sessions."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from tests.pgbouncer import SESSIONS, PgBouncerServer
from tests.processes.api_stack import ApiStack, api_stack_on
from tests.processes.stack import MANAGE, Servers
from tests.processes.test_openai_client_batches import User, line
from tests.servers import run_quietly

# More than a page, and more than one COPY.
LINES = 1_500
# Of these it knows what each client has, and sets it in the session that it lends.
TRACKED = ["application_name", "client_encoding", "DateStyle", "IntervalStyle", "TimeZone"]
LEFT_OVER = """
SELECT name FROM pg_settings WHERE source = 'session' AND NOT name = ANY (%s)
UNION ALL SELECT name FROM pg_prepared_statements
UNION ALL SELECT name FROM pg_cursors WHERE is_holdable
UNION ALL SELECT relname FROM pg_class WHERE relpersistence = 't'
UNION ALL SELECT locktype FROM pg_locks WHERE locktype = 'advisory'
"""


@pytest.fixture(scope="module")
def pooler(postgres_servers: Servers) -> Iterator[PgBouncerServer]:
    assert postgres_servers.postgres
    with PgBouncerServer(postgres_servers.postgres) as pooler:
        yield pooler


@pytest.fixture(scope="module")
def stack(
    postgres_servers: Servers, pooler: PgBouncerServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiStack]:
    shared = replace(postgres_servers, pooler=pooler)
    with api_stack_on(shared, tmp_path_factory.mktemp("pooled")) as stack:
        yield stack
        stack.stack.show_output()


@pytest.fixture(autouse=True)
def _nothing_is_left(stack: ApiStack, pooler: PgBouncerServer) -> Iterator[None]:
    yield
    assert left_over(pooler.url_of(str(stack.stack.database))) == []


def left_over(url: str) -> list[Any]:
    """What is left in the sessions; all of them are looked at, each in a transaction."""
    with ExitStack() as open_ones:
        found, sessions = [], set()
        for _ in range(SESSIONS):
            connection = open_ones.enter_context(psycopg.connect(url, prepare_threshold=None))
            found += connection.execute(LEFT_OVER, [TRACKED]).fetchall()
            sessions.add(connection.execute("SELECT pg_backend_pid()").fetchone())
        assert len(sessions) == SESSIONS
        return found


def test_a_file_is_read_run_ended_and_written(stack: ApiStack) -> None:
    user = User(stack)
    batch = user.create(user.upload(line(f"id-{number}") for number in range(LINES)))
    batch = user.wait(batch)
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.completed == LINES
    assert batch.output_file_id
    written = user.client.files.content(batch.output_file_id).text.splitlines()
    assert len(written) == LINES
    stack.stack.driver("check", batch=stack.stack.driver("batches")[-1], ended_as="completed")


def test_so_is_what_comes_with_a_request(stack: ApiStack) -> None:
    user = User(stack)
    batch = user.wait(user.inline(["hello"] * 40, batch_size=8, parallelism=2))
    assert batch.status == "completed"
    raw: Any = user.client.get(f"/batches/{batch.id}/results", cast_to=object)
    assert len(raw["data"]) == 40


def test_the_pages_of_the_admin_are_shown(stack: ApiStack) -> None:
    # Its selects read their options through cursors where they may.
    for page in ("batch", "batch/add", "provider", "webhookendpoint/add"):
        assert stack.stack.driver("page", path=f"/admin/batches/{page}/") == 200


def test_migrations_run(stack: ApiStack, pooler: PgBouncerServer) -> None:
    _, _, name = stack.stack.postgres.create_database().rpartition("/")
    run_quietly(
        *(*MANAGE, "migrate", "-v0"),
        env={**stack.stack.env, "DATABASE_URL": pooler.url_of(name)},
    )
