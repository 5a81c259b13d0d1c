"""`manage.py work` alone: many prompts without Celery and without Redis."""

import io
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from benchmarks.tools import Cost, Row, provider_process, run_process
from benchmarks.workers import DATABASES, create
from simulator import SimulatedProvider
from tests.processes.stack import WORK_WITHOUT_CELERY, DatabaseKind, Stack, servers, stack_on
from tests.servers import valkey_binary

TITLE = "manage.py work alone, where neither Celery nor Redis can be imported"
PROMPTS = 100_000
FEW = 200


def measure() -> list[Row]:
    return [row for kind, name in DATABASES.items() for row in rows_of(kind, name)]


def rows_of(kind: DatabaseKind, name: str) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as place:
        folder = Path(place)
        (folder / "run").mkdir()
        with (
            # What the stack prints at its end is for tests that fail.
            redirect_stdout(io.StringIO()),
            # The broker is one of the stack; nothing here connects to it.
            servers(kind, folder, valkey_binary()) as shared,
            SimulatedProvider() as idle,
            provider_process() as base_url,
            stack_on(shared, idle, folder / "run", DOORBELL="none") as stack,
        ):
            few, _ = run(stack, base_url, FEW)
            many, lost = run(stack, base_url, PROMPTS)
    return [
        Row(f"{name}: lost or recorded twice, of {PROMPTS:,}", lost, "", bar=0),
        Row(f"{name}: prompts a second", (PROMPTS - FEW) / (many.wall_s - few.wall_s), "/s"),
        Row(f"{name}: CPU of a prompt", 1e6 * (many.cpu_s - few.cpu_s) / (PROMPTS - FEW), "µs"),
        Row(f"{name}: peak memory", many.peak_mib, "MiB"),
    ]


def run(stack: Stack, base_url: str, prompts: int) -> tuple[Cost, int]:
    """Run a batch to its end; return the cost, and the prompts lost or recorded twice."""
    batch = create(stack, base_url, [f"prompt {number}" for number in range(prompts)])
    command = [sys.executable, "-c", WORK_WITHOUT_CELERY]
    cost = run_process(command, stack.folder / "var", env=stack.env)
    if cost.stdout.splitlines()[-1]:
        sys.exit(f"it loaded {cost.stdout.splitlines()[-1]}")
    stack.driver("check", batch=batch, ended_as="completed")
    account = stack.driver("account", batch=batch)
    return cost, account["lost"] + account["recorded_twice"]
