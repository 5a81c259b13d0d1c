"""All that is stored is tested on SQLite by default; here the same tests run on PostgreSQL."""

import os
import subprocess
import sys

from tests.processes.conftest import ROOT
from tests.servers import PostgresServer

STORAGE = (
    "test_models test_bulk test_races test_leases test_results test_ingest test_finishing "
    "test_services test_export test_runner test_webhooks test_deliveries "
    "test_reading test_pauses test_budgets "
    "api/test_tokens api/test_files api/test_uploads api/test_batches api/test_budgets "
    "api/test_results test_export_csv admin/test_cost_of_pages admin/test_permissions "
    "admin/test_new_batch"
).split()


def test_what_is_stored_behaves_the_same_on_postgresql() -> None:
    with PostgresServer() as server:
        env = {
            **os.environ,
            "DATABASE_URL": server.create_database(),
            "SECRET_KEY": "of-a-test",
            "PROVIDER_PRIVATE_HOSTS": "127.0.0.1",
            "WEBHOOK_PRIVATE_HOSTS": "127.0.0.1",
        }
        files = [str(ROOT / "tests" / f"{name}.py") for name in STORAGE]
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
