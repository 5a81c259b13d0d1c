"""`manage.py batches list` over many batches, as a whole command from the shell."""

import json
from pathlib import Path

from benchmarks.tools import MANAGE, Row, data_folder, run_process

TITLE = "manage.py batches list, 10,000 batches"
BATCHES = 10_000
RUNS = 5
MAKE = """
from batches.actions.providers import provider_at
from batches.models import Batch
provider = provider_at("http://127.0.0.1:1/v1", "")
Batch.objects.bulk_create(
    [Batch(provider=provider, endpoint="/v1/chat/completions", batch_size=100, timeout_s=60,
           max_attempts=5, status="completed", model="m", total=100, succeeded=100)
     for _ in range(%d)], batch_size=500)
"""


def measure() -> list[Row]:
    with data_folder() as folder:
        run_process([*MANAGE, "shell", "-c", MAKE % BATCHES], folder)
        best = min(seconds(folder) for _ in range(RUNS))
    return [Row("whole command, best of 5", best, "s", bar=1.0)]


def seconds(folder: Path) -> float:
    """How long the command takes to start, to list the newest batches, and to end."""
    listed = run_process([*MANAGE, "batches", "list", "--json"], folder)
    if not json.loads(listed.stdout):
        raise ValueError(listed.stdout)
    return listed.wall_s
