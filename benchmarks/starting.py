"""Starting: the help of the bulk command, one prompt from the shell, and `serve`."""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.tools import (
    MANAGE,
    Cost,
    Row,
    data_folder,
    process_batch,
    provider_process,
    run_process,
)
from tests.processes.served import Served

TITLE = "Starting, with a database that is there; medians"
ROUNDS = 5
LIBRARIES = "import aiohttp, django.db.models, httpx, pydantic"


def measure() -> list[Row]:
    with data_folder() as folder, provider_process() as base_url:
        libraries, shown, one = interleaved(
            lambda: run_process([sys.executable, "-c", LIBRARIES], folder),
            lambda: run_process([*MANAGE, "process_batch", "--help"], folder),
            lambda: process_batch(folder, base_url, 1),
        )
    return [
        Row("importing Django's models, httpx, aiohttp and pydantic", libraries, "s"),
        Row("process_batch --help", shown, "s", bar=0.35),
        Row("process_batch --help / libraries", shown / libraries, "x"),
        Row("one prompt, from the shell and back", one, "s", bar=0.8),
        Row("one prompt / libraries", one / libraries, "x"),
        Row("serve, until it answers", seconds_of_serve(), "s", bar=4.0),
    ]


def interleaved(*works: Callable[[], Cost]) -> list[float]:
    """Return the median seconds of each process, run by turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, mine in zip(works, times, strict=True):
            mine.append(work().wall_s)
    return [statistics.median(some) for some in times]


def seconds_of_serve() -> float:
    """Return the seconds until every part of it is up, with the database migrated before."""
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        data = Path(name) / "var"
        data.mkdir()
        run_process([*MANAGE, "migrate", "-v0"], data)
        served = Served(data)
        began = time.monotonic()
        with served.process:
            served.wait_until_up()
            return time.monotonic() - began
