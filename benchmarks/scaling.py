"""Many workers over one database: a simulation, checked against one, two and four real workers.

For each chunk a worker needs a core for itself, then for the provider, then one of the database's.
On this machine these are the same cores, as far as others leave them; in the prediction each worker
has its own core, and the provider is elsewhere. The times are the CPU of the run with one worker.
"""

import heapq
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.installations import Run, workers_on_postgresql
from benchmarks.process_cost import cpu_of_machine, used_by
from benchmarks.tools import Row
from tests.process_table import children_of

TITLE = "Workers over one PostgreSQL, zero latency: prompts a second"
PROMPTS, WARM_UP, CHUNK = 10_000, 1_000, 100
REAL = (1, 2, 4)
PREDICTED = (1, 2, 4, 16, 64)
# What the database of the prediction has.
DATABASE_CORES = 4


@dataclass(frozen=True, slots=True)
class Service:
    """The seconds of a core for each chunk: of its worker, the provider, the database."""

    worker_s: float
    provider_s: float
    database_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The prompts a second of real workers, what a chunk took, the WAL of a prompt, and how many
    cores processes that do not belong to the run used meanwhile."""

    rate: float
    service: Service
    wal_bytes: float
    others: float


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the work on a chunk, and the index of the station that does it."""

    seconds: float
    station: int


def seconds_for(
    workers: int, chunks: int, stages: Sequence[Stage], servers: Sequence[int]
) -> float:
    """Return the time in which this number of workers finishes these chunks.

    A worker takes one chunk after the other through all stages. `servers` is how many chunks each
    station serves at once, first come first served.
    """
    free = [[0.0] * count for count in servers]
    # When a worker comes to the next stage of its chunk.
    arrivals = [(0.0, worker, 0) for worker in range(min(workers, chunks))]
    left = chunks - len(arrivals)
    end_s = 0.0
    while arrivals:
        now_s, worker, number = heapq.heappop(arrivals)
        station = free[stages[number].station]
        done_s = max(now_s, station[0]) + stages[number].seconds
        heapq.heapreplace(station, done_s)
        end_s = max(end_s, done_s)
        number = (number + 1) % len(stages)
        if number or left:
            left -= not number
            heapq.heappush(arrivals, (done_s, worker, number))
    return end_s


def rate_here(workers: int, service: Service, others: float) -> float:
    """Return the prompts a second where all share the cores of this machine that others leave."""
    cores = os.cpu_count() or 1
    times = (service.worker_s, service.provider_s, service.database_s)
    stages = [Stage(seconds, 0) for seconds in times]
    chunks = PROMPTS // CHUNK
    took_s = seconds_for(workers, chunks, stages, [cores])
    return PROMPTS / max(took_s, chunks * sum(times) / max(cores - others, 0.01))


def rate_apart(workers: int, service: Service) -> float:
    """Return the prompts a second where only the database is shared."""
    chunks = 100 * workers
    stages = [Stage(service.worker_s, 0), Stage(service.database_s, 1)]
    return CHUNK * chunks / seconds_for(workers, chunks, stages, [workers, DATABASE_CORES])


def measure() -> list[Row]:
    real = {workers: measured(workers) for workers in REAL}
    service = real[1].service
    return [*checked(real, service), *predicted(service)]


def measured(workers: int) -> Measured:
    """Run a batch with so many real workers."""
    with workers_on_postgresql(workers) as installation:
        installation.run(WARM_UP * workers)
        before_s, machine_s, began = provider_cpu_s(), cpu_of_machine(), time.monotonic()
        run = installation.run(PROMPTS)
        provider_s, machine_s = provider_cpu_s() - before_s, cpu_of_machine() - machine_s
        others_s = machine_s - provider_s - run.used.cpu_s - run.database_cpu_s
        others = others_s / (time.monotonic() - began)
        run_s = installation.server.driver("times", public_id=run.batch)["run_s"]
    wal = run.wal_bytes / PROMPTS
    return Measured(PROMPTS / run_s, service_of(run, provider_s), wal, others)


def service_of(run: Run, provider_s: float) -> Service:
    chunks = PROMPTS / CHUNK
    return Service(run.used.cpu_s / chunks, provider_s / chunks, run.database_cpu_s / chunks)


def provider_cpu_s() -> float:
    """Return the CPU of the simulated provider, which is a child of this process."""
    children = children_of(os.getpid())
    return used_by([child.pid for child in children if "-m simulator" in child.command]).cpu_s


def checked(real: dict[int, Measured], service: Service) -> Iterator[Row]:
    yield Row("a chunk: CPU of the worker", service.worker_s * 1e3, "ms")
    yield Row("a chunk: CPU of the provider", service.provider_s * 1e3, "ms")
    yield Row("a chunk: CPU of the database", service.database_s * 1e3, "ms")
    yield Row("a prompt: WAL of the database", real[1].wal_bytes, "bytes")
    for workers, found in real.items():
        rate, simulated = found.rate, rate_here(workers, service, found.others)
        yield Row(f"{workers} here, cores used by others meanwhile", found.others, "cores")
        yield Row(f"{workers} here, measured", rate, "prompts/s")
        yield Row(f"{workers} here, simulated", simulated, "prompts/s")
        yield Row(f"{workers} here, simulated / measured - 1", 100 * (simulated / rate - 1), "%")


def predicted(service: Service) -> Iterator[Row]:
    for workers in PREDICTED:
        what = f"{workers} with a core each, database with {DATABASE_CORES}"
        yield Row(what, rate_apart(workers, service), "prompts/s")
    capacity = DATABASE_CORES * CHUNK / service.database_s
    yield Row("the database's capacity", capacity, "prompts/s")
