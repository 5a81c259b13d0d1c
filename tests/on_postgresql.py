"""Run the tests of what is stored on PostgreSQL, which `make test` runs on SQLite.

`python -m tests.on_postgresql` starts a server of its own; what follows goes to pytest.
"""

import os
import sys

import pytest

from tests.servers import PostgresServer

FILES = (
    "tests/admin/test_compare_answers.py",
    "tests/admin/test_cost_of_pages.py",
    "tests/admin/test_escalation.py",
    "tests/admin/test_finding_results.py",
    "tests/admin/test_library.py",
    "tests/admin/test_list_of_batches.py",
    "tests/admin/test_names.py",
    "tests/admin/test_new_batch.py",
    "tests/admin/test_permissions.py",
    "tests/api/test_batches.py",
    "tests/api/test_budgets.py",
    "tests/api/test_comparisons.py",
    "tests/api/test_escalation.py",
    "tests/api/test_files.py",
    "tests/api/test_lists.py",
    "tests/api/test_pilots.py",
    "tests/api/test_results.py",
    "tests/api/test_reuse.py",
    "tests/api/test_schema_costs.py",
    "tests/api/test_slow_readers.py",
    "tests/api/test_templates.py",
    "tests/api/test_tokens.py",
    "tests/api/test_uploads.py",
    "tests/runner/test_any_reply.py",
    "tests/limits/test_budgets.py",
    "tests/limits/test_stop_rules.py",
    "tests/test_bulk.py",
    "tests/webhooks/test_callbacks.py",
    "tests/models/test_deleting.py",
    "tests/webhooks/test_deliveries.py",
    "tests/output/test_export.py",
    "tests/output/test_export_csv.py",
    "tests/output/test_export_parquet.py",
    "tests/comparison/test_disagreements.py",
    "tests/comparison/test_figures.py",
    "tests/comparison/test_paired_rows.py",
    "tests/ending/test_finishing.py",
    "tests/ending/test_gate.py",
    "tests/ending/test_pilot_report.py",
    "tests/intake/test_ingest.py",
    "tests/leases/test_leases.py",
    "tests/inputs/test_line_separators.py",
    "tests/runner/test_escalation.py",
    "tests/runner/test_memory.py",
    "tests/models/test_models.py",
    "tests/models/test_templates.py",
    "tests/runner/test_pauses.py",
    "tests/runner/test_pilot.py",
    "tests/runner/test_preparing.py",
    "tests/actions/test_provider_at.py",
    "tests/ending/test_purging.py",
    "tests/leases/test_races.py",
    "tests/leases/test_renewal.py",
    "tests/intake/test_reading.py",
    "tests/runner/test_refused_rows.py",
    "tests/output/test_result_pages.py",
    "tests/output/test_result_tables.py",
    "tests/runner/test_results.py",
    "tests/runner/test_reuse.py",
    "tests/runner/test_runner.py",
    "tests/actions/test_services.py",
    "tests/webhooks/test_webhooks.py",
    "tests/rows/test_enrich.py",
    "tests/rows/test_pages.py",
    "tests/rows/test_refusals.py",
    "tests/writeback/test_host_errors.py",
    "tests/test_signals.py",
)


def main(options: list[str]) -> int:
    """Run pytest with these options; return its exit status."""
    with PostgresServer() as server:
        # Before Django reads them, here and in the processes of pytest-xdist.
        os.environ["DATABASE_URL"] = server.create_database()
        os.environ["SECRET_KEY"] = "only for tests"
        os.environ["PROVIDER_PRIVATE_HOSTS"] = "127.0.0.1"
        os.environ["WEBHOOK_PRIVATE_HOSTS"] = "127.0.0.1"
        return pytest.main([*options, *FILES])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
