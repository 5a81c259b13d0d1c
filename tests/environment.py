"""The environment of processes that tests start."""

import os

MEASURED = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


def unmeasured() -> dict[str, str]:
    """Ours, without coverage.

    For servers and workers, and for tests that run again on PostgreSQL: tracing takes a third of
    their time, a process that is killed reports nothing, and their lines are measured elsewhere.
    """
    return {name: value for name, value in os.environ.items() if name not in MEASURED}
