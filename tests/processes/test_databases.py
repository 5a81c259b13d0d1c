"""Databases that a project may have: a second one, another schema, a pooler in between."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simulator import SimulatedProvider
from tests.command_line import MANAGE
from tests.pgbouncer import PgBouncerServer
from tests.processes.doc_pages import blocks_of
from tests.processes.stack import Driver, Servers, Stack, environment, stack_on
from tests.processes.test_workers_docs import project
from tests.servers import PostgresServer, run_quietly

# The router of the docs, and nothing at `default`.
[ROUTER] = [block for block in blocks_of("deployment.md", "python") if "class Router" in block]
SECOND = f"""
from config.settings import *
{ROUTER}
DATABASES["batches"] = DATABASES["default"]
DATABASES["default"] = {{}}
DATABASE_ROUTERS = [Router()]
"""
IN_SCHEMA = "SELECT count(*) FROM pg_tables WHERE schemaname = %s"


@pytest.fixture(params=["none", "celery"])
def second(
    request: pytest.FixtureRequest,
    postgres_servers: Servers,
    simulator: SimulatedProvider,
    tmp_path: Path,
) -> Iterator[Stack]:
    """An installation whose router names a database; any use of `default` fails."""
    (tmp_path / "project_settings.py").write_text(SECOND)
    env = {**project(tmp_path), "DOORBELL": request.param}
    with stack_on(postgres_servers, simulator, tmp_path, **env) as stack:
        yield stack
    stack.show_output()


def test_everything_is_done_in_the_database_that_the_router_names(
    second: Stack, tmp_path: Path
) -> None:
    worker = second.start_worker("one")
    if second.doorbell == "celery":
        second.start_sweeper()
    batch = second.create_batch([*map(str, range(60)), *map(str, range(60))], reuse="batch")
    path = tmp_path / "in.jsonl"
    path.write_text(
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",'
        ' "body": {"model": "m", "messages": [{"role": "user", "content": "hello"}]}}\n'
    )
    of_file = second.driver("create_of_file", base_url=second.simulator.base_url, path=str(path))
    second.wait_completed(batch)
    second.wait_completed(of_file)
    second.check(batch, most_calls=61)
    for page in ("batch", "batch/add", "provider", "webhookendpoint/add"):
        assert second.driver("page", path=f"/admin/batches/{page}/") == 200
    with second.simulator.holding():
        stopped = second.create_batch(["cancelled"])
        second.wait_for_calls(1)
        second.driver("cancel", batch=stopped)
    second.wait_ended(stopped, "cancelled")
    worker.terminate()
    assert worker.wait() == 0
    assert "ImproperlyConfigured" not in worker.output


def test_so_does_a_batch_of_the_command_line(second: Stack, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\ntwo\n")
    run_quietly(
        *(sys.executable, str(MANAGE), "process_batch", str(prompts), "--quiet"),
        *("--base-url", second.simulator.base_url, "--model", "m"),
        *("--output", str(tmp_path / "out.jsonl")),
        env=second.env,
    )
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    [batch] = second.driver("batches")
    assert second.status(batch)["status"] == "completed"


def test_migrations_and_checks_keep_to_that_database(
    second: Stack, postgres_servers: Servers
) -> None:
    assert postgres_servers.postgres
    env = {**second.env, "DATABASE_URL": postgres_servers.postgres.create_database()}
    run_quietly(sys.executable, str(MANAGE), "migrate", "-v0", "--database", "batches", env=env)
    run_quietly(sys.executable, str(MANAGE), "check", "--database", "batches", env=env)


def test_a_schema_other_than_public(
    postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path
) -> None:
    assert postgres_servers.postgres
    url = postgres_servers.postgres.create_database()
    with_schema(postgres_servers.postgres, url)
    url += "?options=-c%20search_path%3Dllm"
    env = {**environment(tmp_path / "var", "memory://", database=url), "DOORBELL": "none"}
    run_quietly(sys.executable, str(MANAGE), "migrate", "-v0", env=env)
    driver = Driver(env)
    try:
        texts = [str(number) for number in [*range(30), *range(30)]]
        base_url = simulator.base_url
        options = {"reuse": "owner"}
        batch = driver("create", base_url=base_url, texts=texts, options=options)
        run_quietly(sys.executable, str(MANAGE), "work", "--until-idle", env=env)
        driver("check", batch=batch, ended_as="completed")
    finally:
        driver.close()
    name = url.partition("?")[0].rpartition("/")[2]
    assert postgres_servers.postgres.psql(IN_SCHEMA, "public", database=name) == [(0,)]
    assert postgres_servers.postgres.psql(IN_SCHEMA, "llm", database=name) != [(0,)]


def with_schema(postgres: PostgresServer, url: str) -> None:
    postgres.psql("CREATE SCHEMA llm", database=url.rpartition("/")[2])


def test_work_alone_behind_a_pooler(
    postgres_servers: Servers, simulator: SimulatedProvider, tmp_path: Path
) -> None:
    assert postgres_servers.postgres
    with PgBouncerServer(postgres_servers.postgres) as pooler:
        shared = replace(postgres_servers, pooler=pooler)
        with stack_on(shared, simulator, tmp_path, DOORBELL="none") as stack:
            worker = stack.start_worker("one")
            batches = [stack.create_batch(100, parallelism=2) for _ in range(2)]
            for batch in batches:
                stack.wait_completed(batch)
                stack.check(batch, most_calls=200)
            worker.terminate()
            assert worker.wait() == 0


def test_users_in_another_database_are_refused(tmp_path: Path) -> None:
    (tmp_path / "project_settings.py").write_text(
        "from config.settings import *\n"
        "DATABASES['batches'] = DATABASES['default']\n"
        "class Router:\n"
        "    def db_for_write(self, model, **hints):\n"
        "        return 'batches' if model._meta.app_label == 'batches' else None\n"
        "DATABASE_ROUTERS = [Router()]\n"
    )
    env = {**environment(tmp_path / "var", "memory://", database=None), **project(tmp_path)}
    ended = subprocess.run(
        [sys.executable, str(MANAGE), "check"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "(batches.E006) Batches are in the database 'batches', but users in" in ended.stderr
