"""`python -m benchmarks million`: very many prompts, on SQLite and on PostgreSQL.

SQLite: process_batch. PostgreSQL: the API and two Celery workers. The window is 100, and the
simulated provider answers at once, in a process of its own. A run of 200 prompts is subtracted from
CPU and from the time of a command, so that both are without start-up.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from benchmarks.installations import (
    Installation,
    Run,
    answered,
    command_on_sqlite,
    workers_on_postgresql,
)
from benchmarks.tools import Row, as_table
from tests.servers import ServerNotStarted

PROMPTS = 1_000_000
FEW, SOME, MANY = 200, 20_000, 100_000
PAGE, ROUNDS = 100, 40
# At its end a batch may take as long for each prompt as for 100,000 in 0.3 s.
FINISH_S = 0.3 / 100_000

INSTALLATIONS = {"sqlite": command_on_sqlite, "postgres": workers_on_postgresql}


@dataclass(frozen=True, slots=True)
class Measured:
    """A run with its times, which the database has; `bytes` is how much the database grew."""

    prompts: int
    run: Run
    times: dict[str, Any]
    bytes: int


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_arguments(arguments)
    missed = 0
    try:
        for name in given.databases.split(","):
            with INSTALLATIONS[name]() as installation:
                rows = list(measured_rows(installation, given.prompts))
            print(as_table(f"{given.prompts:,} prompts", rows), end="\n\n", flush=True)
            missed += sum(not row.holds for row in rows)
    except ServerNotStarted as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if missed else 0


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks million", description=__doc__)
    add = parser.add_argument
    add("--prompts", type=int, default=PROMPTS, help="(%(default)s)")
    add("--databases", default=",".join(INSTALLATIONS), help="(%(default)s)")
    given = parser.parse_args(arguments)
    if given.prompts <= SOME:
        parser.error(f"--prompts must be more than {SOME}")
    if unknown := set(given.databases.split(",")) - set(INSTALLATIONS):
        parser.error(f"there is no {', '.join(unknown)}; there is {', '.join(INSTALLATIONS)}")
    return given


def measured_rows(installation: Installation, prompts: int) -> Iterator[Row]:
    sizes = (FEW, SOME, min(MANY, prompts), prompts)
    few, some, many, most = [measured(installation, count) for count in sizes]
    name = installation.name
    yield from costs(name, few, some, many, most)
    yield from transfers(installation, few, most)
    yield from pages(installation, most)


def measured(installation: Installation, prompts: int) -> Measured:
    before = installation.database_bytes()
    run = installation.run(prompts)
    times = installation.server.driver("times", public_id=run.batch)
    return Measured(prompts, run, times, installation.database_bytes() - before)


def costs(
    name: str, few: Measured, some: Measured, many: Measured, most: Measured
) -> Iterator[Row]:
    """What it takes to run the prompts."""
    small, large = cpu_us(some, few), cpu_us(most, few)
    wall_s, finish_s = most.times["wall_s"], most.times["finish_s"]
    yield Row(f"{name}: from the request to the end", wall_s, "s")
    yield Row(f"{name}: CPU, {some.prompts:,} prompts", small, "µs a prompt")
    yield Row(f"{name}: CPU, {most.prompts:,} prompts", large, "µs a prompt")
    yield Row(f"{name}: ratio", large / small, "x", bar=1.15)
    if server_s := most.run.database_cpu_s:
        yield Row(f"{name}: CPU of the server", server_s / most.prompts * 1e6, "µs a prompt")
        wal = most.run.wal_bytes / most.prompts
        yield Row(f"{name}: written to the WAL, for each prompt", wal, "bytes")
    peak = most.run.used.peak_mib
    yield Row(f"{name}: peak memory", peak, "MiB")
    more = f"{name}: peak memory, more than with {many.prompts:,}"
    yield Row(more, peak - many.run.used.peak_mib, "MiB", bar=20)
    yield Row(f"{name}: database, for each prompt", most.bytes / most.prompts, "bytes")
    yield Row(
        f"{name}: from the last answer to the end", finish_s, "s", bar=FINISH_S * most.prompts
    )


def cpu_us(measured: Measured, few: Measured) -> float:
    """Return the CPU of a prompt, without start-up."""
    more_s = measured.run.used.cpu_s - few.run.used.cpu_s
    return more_s / (measured.prompts - few.prompts) * 1e6


def transfers(installation: Installation, few: Measured, most: Measured) -> Iterator[Row]:
    """How fast prompts come in and results go out."""
    name, path = installation.name, installation.server.folder / "out.jsonl"
    started_s = installation.export(few.run.batch, path)
    command_s = installation.export(most.run.batch, path) - started_s
    began = time.monotonic()
    lines = downloaded_lines(installation.api, most.times["output_file"])
    rates = {
        "ingest": (most.prompts / most.times["ingest_s"], 90_000),
        "export by the command": (most.prompts / command_s, 150_000),
        "download": (most.prompts / (time.monotonic() - began), 150_000),
    }
    for what, (rate, bar) in rates.items():
        yield Row(f"{name}: {what}", rate, "rows/s", bar=bar, at_least=True)
    yield Row(f"{name}: lines that are missing", most.prompts - lines, "lines", bar=0)


def downloaded_lines(api: httpx.Client, file: str) -> int:
    with api.stream("GET", f"/files/{file}/content") as response:
        response.raise_for_status()
        return sum(piece.count(b"\n") for piece in response.iter_raw())


def pages(installation: Installation, most: Measured) -> Iterator[Row]:
    """The first page of results and the last one, read in turn."""
    path = f"/batches/{most.run.batch}/results"
    params = {"limit": str(PAGE)}
    first_id = answered(installation.api.get(path, params=params))["first_id"]
    last = {**params, "after": id_after(first_id, most.prompts - PAGE - 1)}
    places: dict[str, dict[str, str]] = {"first": params, "last": last}
    times: dict[str, list[float]] = {place: [] for place in places}
    for _ in range(ROUNDS):
        for place, query in places.items():
            times[place].append(seconds(partial(installation.api.get, path, params=query)))
    first_ms, last_ms = (statistics.median(times[place]) * 1e3 for place in places)
    bar = 12 if installation.name == "PostgreSQL" else None
    yield Row(f"{installation.name}: first page of {PAGE} results", first_ms, "ms", bar=bar)
    yield Row(f"{installation.name}: last page", last_ms, "ms", bar=bar)
    ratio = max(first_ms, last_ms) / min(first_ms, last_ms)
    yield Row(f"{installation.name}: the slower / the faster", ratio, "x", bar=1.2)


def id_after(first_id: str, places: int) -> str:
    """Return the ID of a later row: the IDs of a batch are consecutive."""
    prefix, _, digits = first_id.rpartition("_")
    return f"{prefix}_{int(digits, 16) + places:016x}"


def seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
