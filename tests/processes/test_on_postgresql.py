"""All that is stored is tested on SQLite by default; here the same tests run on PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.command_line import ROOT
from tests.environment import unmeasured
from tests.servers import PostgresServer

STORAGE = {
    "rows": "test_models test_bulk test_results test_export test_ingest",
    "pages": "test_result_pages test_export_csv api/test_slow_readers",
    "refused": "test_refused_rows test_any_reply test_deleting test_memory",
    "leases": "test_provider_at test_races test_leases test_finishing test_services test_runner",
    "reading": "test_reading test_pauses test_budgets test_purging",
    "webhooks": "test_webhooks test_deliveries test_callbacks",
    "files": "api/test_tokens api/test_files api/test_uploads",
    "batches": "api/test_batches api/test_lists api/test_budgets api/test_results",
    "schemas": "test_preparing test_line_separators api/test_schema_costs",
    "admin": "admin/test_cost_of_pages admin/test_permissions admin/test_new_batch",
}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.mark.parametrize("names", STORAGE.values(), ids=STORAGE)
def test_what_is_stored_behaves_the_same_on_postgresql(server: PostgresServer, names: str) -> None:
    env = {
        **unmeasured(),
        "DATABASE_URL": server.create_database(),
        "SECRET_KEY": "of-a-test",
        "PROVIDER_PRIVATE_HOSTS": "127.0.0.1",
        "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
    }
    # A runner of its own, not one of the workers that run these tests side by side.
    env.pop("PYTEST_XDIST_WORKER", None)
    files = [str(ROOT / "tests" / f"{name}.py") for name in names.split()]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "passed" in ended.stdout
