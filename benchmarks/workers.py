"""Celery workers: two runners on one batch, and a small batch among large ones."""

import io
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path

from benchmarks.tools import Row, provider_process
from simulator import Behaviour, SimulatedProvider
from tests.processes.stack import DatabaseKind, Stack, servers, stack_on
from tests.servers import redis_binary, valkey_binary

TITLE = "Celery workers, PostgreSQL with Redis and SQLite with Valkey"
SETTINGS = {"LEASE_SECONDS": "60", "SWEEP_SECONDS": "30"}
# Where a worker is killed.
SHORT_LEASE_S, SHORT_SWEEP_S = 5, 1.0

DATABASES: dict[DatabaseKind, str] = {"postgres": "PostgreSQL", "sqlite": "SQLite"}

LATENCY_BOUND = 1_000
LATENCY = "uniform:0.1,0.5"
WINDOW = 20

LARGE = 100_000
SMALL = 10


@contextmanager
def fresh_stack(kind: DatabaseKind, **settings: str) -> Iterator[Stack]:
    binary = redis_binary() if kind == "postgres" else valkey_binary()
    behaviour = Behaviour(latency=LATENCY)
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        with (
            # What the workers say at their end is for tests that fail.
            redirect_stdout(io.StringIO()),
            servers(kind, folder, binary) as shared,
            SimulatedProvider(behaviour) as simulator,
            stack_on(shared, simulator, folder / "run", **{**SETTINGS, **settings}) as stack,
        ):
            yield stack


def measure() -> list[Row]:
    rows: list[Row] = []
    for kind, name in DATABASES.items():
        with fresh_stack(kind) as stack:
            rows += two_runners(stack, name)
        with fresh_stack(kind) as stack:
            rows.append(small_among_large(stack, name))
        with fresh_stack(kind, LEASE_SECONDS=str(SHORT_LEASE_S)) as stack:
            rows.append(recovery(stack, name))
    return rows


def two_runners(stack: Stack, name: str) -> list[Row]:
    """How much faster a batch is on which two runners work."""
    for worker in ("one", "two"):
        stack.start_worker(worker)
    warm_up(stack)
    one = seconds_for(stack, parallelism=1)
    two = seconds_for(stack, parallelism=2)
    return [
        Row(f"{name}: {LATENCY_BOUND:,} prompts, one runner", one, "s"),
        Row(f"{name}: {LATENCY_BOUND:,} prompts, two runners", two, "s"),
        Row(f"{name}: two / one", two / one, "x", bar=0.55),
    ]


def seconds_for(stack: Stack, *, parallelism: int) -> float:
    batch = stack.create_batch(LATENCY_BOUND, batch_size=WINDOW, parallelism=parallelism)
    return seconds_until_done(stack, batch)


def warm_up(stack: Stack) -> None:
    """Wait until both workers take messages."""
    for _ in range(4):
        stack.wait_completed(stack.create_batch(2))


def seconds_until_done(stack: Stack, batch: int) -> float:
    began = time.monotonic()
    stack.wait_completed(batch, seconds=300)
    return time.monotonic() - began


def small_among_large(stack: Stack, name: str) -> Row:
    """How long a batch of ten takes while two of 100,000 keep every worker busy."""
    for worker in ("one", "two"):
        stack.start_worker(worker)
    warm_up(stack)
    with provider_process() as base_url:
        texts = [f"prompt {number}" for number in range(LARGE)]
        large = [create(stack, base_url, texts) for _ in range(2)]
        for batch in large:
            stack.wait_until(partial(stack.stored, batch), f"results of {batch}")
        began = time.monotonic()
        small = create(stack, base_url, texts[:SMALL])
        stack.wait_completed(small)
        took = time.monotonic() - began
        if not all(stack.status(batch)["status"] == "in_progress" for batch in large):
            raise RuntimeError("the large batches ended too soon for this to mean anything")
    return Row(f"{name}: a batch of ten among two of {LARGE:,}", took, "s", bar=3.0)


def recovery(stack: Stack, name: str) -> Row:
    """How long no call goes out after a broker lost everything and the worker at work is killed."""
    victim = stack.start_worker("victim")
    batch = stack.create_batch(LATENCY_BOUND, batch_size=WINDOW)
    stack.wait_for_calls(2 * WINDOW)
    stack.start_worker("heir")
    # All threads of the victim but one are idle, so both take these: the heir is up by then.
    for _ in range(8):
        stack.wait_completed(stack.create_batch(2))
    stack.start_sweeper(SHORT_SWEEP_S)
    stack.broker.flushall()
    stack.kill_in_flight(victim)
    calls, killed_at = stack.simulator.calls.total(), time.monotonic()
    stack.wait_until(lambda: stack.simulator.calls.total() > calls, "a further call")
    took = time.monotonic() - killed_at
    stack.wait_completed(batch, seconds=300)
    what = f"until calls go on, lease {SHORT_LEASE_S} s, sweep {SHORT_SWEEP_S:g} s"
    return Row(f"{name}: {what}", took, "s", bar=SHORT_LEASE_S + SHORT_SWEEP_S + 0.5)


def create(stack: Stack, base_url: str, texts: list[str]) -> int:
    batch: int = stack.driver("create", base_url=base_url, texts=texts, options={})
    return batch
