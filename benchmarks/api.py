"""Batches over the API: a small one from the request to its end, a large file until it runs."""

import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from openai import OpenAI
from openai.types import Batch

from benchmarks.tools import Row
from benchmarks.uploads import SIZE, input_file, upload
from tests.processes.api_stack import MODEL, ApiStack, api_stack_on
from tests.processes.stack import DatabaseKind, servers
from tests.servers import redis_binary, valkey_binary

TITLE = "Batches over the API, SQLite with Valkey and PostgreSQL with Redis"
SETTINGS = {"LEASE_SECONDS": "60", "SWEEP_SECONDS": "30"}

PROMPTS = 10
ROUNDS = 20
SLOW = [f"[simulate: latency=0.5] prompt {number}" for number in range(5)]
POLL_S = 0.01
PATIENCE_S = 300.0

DATABASES: dict[DatabaseKind, str] = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


def measure() -> list[Row]:
    rows: list[Row] = []
    for kind, name in DATABASES.items():
        with fresh_stack(kind) as stack:
            client = stack.server.client(max_retries=0)
            times = [seconds_of_ten(client) for _ in range(ROUNDS)]
            slow = [seconds_of(client, SLOW) for _ in range(ROUNDS)]
            rows += [
                Row(f"{name}: five prompts of 0.5 s, median", median(slow), "s", bar=0.53),
                Row(f"{name}: ten prompts, from POST to completed, median", median(times), "s"),
                Row(f"{name}: the slowest of {ROUNDS}", max(times), "s", bar=1.0),
                Row(f"{name}: 200 MB, until its prompts run", until_it_runs(stack), "s", bar=60),
            ]
    return rows


@contextmanager
def fresh_stack(kind: DatabaseKind) -> Iterator[ApiStack]:
    binary = redis_binary() if kind == "postgres" else valkey_binary()
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        with (
            # What the workers say at their end is for tests that fail.
            redirect_stdout(io.StringIO()),
            servers(kind, folder, binary) as shared,
            api_stack_on(shared, folder / "run", None, **SETTINGS) as stack,
        ):
            # The worker has started when it has done something.
            seconds_of_ten(stack.server.client())
            yield stack


def median(times: list[float]) -> float:
    return statistics.median(times)


def seconds_of_ten(client: OpenAI) -> float:
    return seconds_of(client, [f"prompt {number}" for number in range(PROMPTS)])


def seconds_of(client: OpenAI, prompts: list[str]) -> float:
    """From the request for a batch to its end, as a client sees it."""
    began = time.monotonic()
    body = {"prompts": prompts, "body": {"model": MODEL}}
    batch = client.post("/batches", cast_to=Batch, body=body)
    wait_for(client, batch, "completed")
    return time.monotonic() - began


def until_it_runs(stack: ApiStack) -> float:
    """From the request for a batch of a large file until the first of its prompts may run."""
    client = stack.server.client(max_retries=0)
    file_id = upload(client, input_file(stack.stack.folder, SIZE))
    began = time.monotonic()
    batch = client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    wait_for(client, batch, "in_progress")
    took = time.monotonic() - began
    client.batches.cancel(batch.id)
    return took


def wait_for(client: OpenAI, batch: Batch, status: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (now := client.batches.retrieve(batch.id)).status != status:
        if now.status == "failed" or time.monotonic() > deadline:
            raise RuntimeError(f"the batch is {now.status}: {now.errors}")
        time.sleep(POLL_S)
