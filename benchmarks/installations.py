"""Installations to run many prompts on: SQLite with the command, PostgreSQL with two workers."""

import io
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.process_cost import Used, cpu_of_server, used_by
from benchmarks.tools import (
    MANAGE,
    ROOT,
    data_folder,
    process_batch,
    prompt_text,
    provider_process,
    summary_of,
)
from benchmarks.uploads import request_line
from simulator import SimulatedProvider
from tests.owned_process import OwnedProcess
from tests.processes.api_stack import MODEL, ApiServer, serving
from tests.processes.stack import Stack, servers, stack_on
from tests.servers import redis_binary

SETTINGS = {"LEASE_SECONDS": "60", "SWEEP_SECONDS": "30"}
URL = "/v1/chat/completions"
WORKERS = 2
# A client asks how far a batch is as seldom as that.
POLL_S = 0.5
LONGEST_S = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class Run:
    """A batch that was run: its ID, what the processes that ran it used, and the CPU and the log
    (WAL) of the database's server."""

    batch: str
    used: Used
    database_cpu_s: float = 0.0
    wal_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Installation:
    """A database and what runs batches on it; `run` runs a batch with this number of prompts."""

    name: str
    server: ApiServer
    api: httpx.Client
    run: Callable[[int], Run]
    database_bytes: Callable[[], int]

    def export(self, batch: str, path: Path) -> float:
        """Write the results of a batch with the command; return the seconds."""
        command = (*MANAGE, "batches", "results", batch, "--output", str(path), "--overwrite")
        began = time.monotonic()
        subprocess.run(command, env=self.server.env, cwd=ROOT, check=True, stderr=subprocess.PIPE)
        return time.monotonic() - began


@contextmanager
def command_on_sqlite() -> Iterator[Installation]:
    """SQLite, where each batch is run by process_batch."""
    with data_folder() as folder, provider_process() as base_url:

        def run(count: int) -> Run:
            cost = process_batch(folder, base_url, count)
            return Run(summary_of(cost)["batch_id"], Used(cost.cpu_s, cost.peak_mib))

        def size() -> int:
            return sum(path.stat().st_size for path in folder.glob("db.sqlite3*"))

        env = {**os.environ, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
        with serving(env) as server, client_of(server) as api:
            yield Installation("SQLite", server, api, run, size)


@contextmanager
def workers_on_postgresql(count: int = WORKERS) -> Iterator[Installation]:
    """PostgreSQL and Redis, where this number of workers runs batches of the API."""
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        with (
            # What the workers say at their end is for tests that fail.
            redirect_stdout(io.StringIO()),
            servers("postgres", folder, redis_binary()) as shared,
            # Unused: the provider is in a process of its own.
            SimulatedProvider() as idle,
            provider_process() as base_url,
            stack_on(shared, idle, folder / "run", **SETTINGS) as stack,
            ApiServer(stack.env, stack.driver) as server,
            client_of(server) as api,
        ):
            stack.driver("provider", name="simulated", base_url=base_url, model_names=[MODEL])
            workers = [start_worker(stack, f"worker{n}") for n in range(count)]
            stack.start_sweeper(30.0)

            def run(prompts: int) -> Run:
                return run_by_workers(stack, api, workers, prompts)

            yield Installation("PostgreSQL", server, api, run, lambda: database_bytes(stack))


@contextmanager
def client_of(server: ApiServer) -> Iterator[httpx.Client]:
    """A client that sees the batches of everybody."""
    server.driver("staff", username="reader", password="", permissions=[])
    headers = {"Authorization": f"Bearer {server.token('reader')}"}
    with httpx.Client(
        base_url=server.base_url, headers=headers, timeout=600, trust_env=False
    ) as api:
        yield api


def run_by_workers(stack: Stack, api: httpx.Client, workers: list[OwnedProcess], count: int) -> Run:
    pids = [worker.popen.pid for worker in workers]
    postmaster = stack.postgres.process.popen.pid
    with input_file(stack.folder, count).open("rb") as stream:
        files = {"file": ("in.jsonl", stream)}
        file = answered(api.post("/files", data={"purpose": "batch"}, files=files))
    before, database_before = used_by(pids), cpu_of_server(postmaster)
    wal_before = wal_bytes(stack)
    body = {
        "input_file_id": file["id"],
        "endpoint": URL,
        "completion_window": "24h",
        "parallelism": len(workers),
    }
    batch: str = answered(api.post("/batches", json=body))["id"]
    wait_completed(api, batch)
    return Run(
        batch,
        used_by(pids).since(before),
        database_cpu_s=cpu_of_server(postmaster) - database_before,
        wal_bytes=wal_bytes(stack) - wal_before,
    )


def wait_completed(api: httpx.Client, batch: str) -> None:
    deadline = time.monotonic() + LONGEST_S
    while (status := answered(api.get(f"/batches/{batch}"))["status"]) != "completed":
        if status in ("failed", "expired", "cancelled") or time.monotonic() > deadline:
            raise RuntimeError(f"{batch} is {status}")
        time.sleep(POLL_S)


def answered(response: httpx.Response) -> dict[str, str]:
    body: dict[str, str] = response.raise_for_status().json()
    return body


def input_file(folder: Path, count: int) -> Path:
    """Write a file of the Batch API with this number of requests."""
    path = folder / f"requests-{count}.jsonl"
    with path.open("w") as file:
        file.writelines(request_line(number, prompt_text(number)) for number in range(count))
    return path


def start_worker(stack: Stack, name: str) -> OwnedProcess:
    """Start a worker whose memory is its own.

    With any variable that an interpreter reads at its start, it is not a fork of a process that has
    loaded more than a worker does.
    """
    return stack.start_worker(name, PYTHONHASHSEED="random")


def database_bytes(stack: Stack) -> int:
    [[size]] = stack.postgres.psql("SELECT pg_database_size(%s::text)", stack.database)
    return int(size)


def wal_bytes(stack: Stack) -> int:
    """Return how much the server has ever written to its log."""
    [[size]] = stack.postgres.psql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")
    return int(size)
