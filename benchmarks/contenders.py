"""What a prompt costs with one client: its CPU, its memory, and the CPU of its database."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI

from benchmarks.api import wait_for
from benchmarks.installations import SETTINGS, input_file, start_worker
from benchmarks.process_cost import cpu_of_server, used_by
from benchmarks.tools import Cost, process_batch, run_process
from benchmarks.uploads import upload
from simulator import SimulatedProvider
from tests.processes.api_stack import MODEL, ApiServer
from tests.processes.stack import TEMPLATE, Servers, stack_on

# What each run is also done with, to take start-up out.
FEW = 200
# What an installation that is not embedded has to be told.
ON_POSTGRESQL = {
    "SECRET_KEY": "only for benchmarks, which keep no secrets",
    "PROVIDER_PRIVATE_HOSTS": "127.0.0.1",
}


@dataclass(frozen=True)
class Sample:
    """What a prompt has cost in one run, start-up taken out."""

    cpu_us: float
    peak_mib: float
    # CPU of the database server.
    server_us: float = 0.0


@dataclass(frozen=True)
class Usage:
    """What a whole run has used."""

    client: Cost
    server_s: float = 0.0


Run = Callable[[int], Usage]


def sample_of(run: Run, prompts: int) -> Sample:
    """Run with few prompts and with many; the difference is what the others cost."""
    few, many = run(FEW), run(prompts)
    per_prompt = 1e6 / (prompts - FEW)
    return Sample(
        (many.client.cpu_s - few.client.cpu_s) * per_prompt,
        many.client.peak_mib,
        (many.server_s - few.server_s) * per_prompt,
    )


def client_run(python: Path, module: str, base_url: str) -> Run:
    """Return the run of a client that stores nothing, in the environment of this interpreter."""

    def run(prompts: int) -> Usage:
        command = [str(python), "-m", f"benchmarks.{module}", base_url, str(prompts)]
        return Usage(run_process(command, Path(tempfile.gettempdir())))

    return run


def command_run(shared: Servers, base_url: str, *options: str, padding: int = 0) -> Run:
    """Return the run of process_batch, each time on an empty database."""

    def run(prompts: int) -> Usage:
        with empty_installation(shared) as (folder, env):
            before = server_cpu_of(shared)
            cost = process_batch(folder, base_url, prompts, *options, padding=padding, env=env)
            return Usage(cost, server_cpu_of(shared) - before)

    return run


@contextmanager
def empty_installation(shared: Servers) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """A migrated data folder and the variables that belong to it; both are thrown away."""
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        folder = Path(name)
        if shared.postgres is None:
            shutil.copytree(shared.template, folder, dirs_exist_ok=True)
            yield folder, {}
            return
        url = shared.postgres.create_database("commanded", template=TEMPLATE)
        yield folder, {**ON_POSTGRESQL, "DATABASE_URL": url}
        shared.postgres.psql("DROP DATABASE commanded WITH (FORCE)")


def server_cpu_of(shared: Servers) -> float:
    return cpu_of_server(shared.postgres.process.popen.pid) if shared.postgres else 0.0


def worker_sample(shared: Servers, base_url: str, prompts: int) -> Sample:
    """Run a batch of an uploaded file on one worker that has already run a small one."""
    with worker_stack(shared, base_url) as (client, folder, worker_pid):
        run_batch(client, folder, FEW)
        before, server_before = used_by([worker_pid]), server_cpu_of(shared)
        run_batch(client, folder, prompts)
        used = used_by([worker_pid]).since(before)
        return Sample(
            used.cpu_s / prompts * 1e6,
            used.peak_mib,
            (server_cpu_of(shared) - server_before) / prompts * 1e6,
        )


@contextmanager
def worker_stack(shared: Servers, base_url: str) -> Iterator[tuple[OpenAI, Path, int]]:
    """A web server and a worker on an empty database; yields a client and the worker's pid."""
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        folder = Path(name)
        with (
            # What the workers say at their end is for tests that fail.
            redirect_stdout(io.StringIO()),
            SimulatedProvider() as unused,
            stack_on(shared, unused, folder, **SETTINGS) as stack,
            ApiServer(stack.env, stack.driver) as server,
        ):
            stack.driver("provider", name="simulated", base_url=base_url, model_names=[MODEL])
            yield server.client(max_retries=0), folder, start_worker(stack, "worker").popen.pid


def run_batch(client: OpenAI, folder: Path, prompts: int) -> None:
    batch = client.batches.create(
        input_file_id=upload(client, input_file(folder, prompts)),
        endpoint="/v1/chat/completions",
        completion_window="24h",
    )
    wait_for(client, batch, "completed")
    counts = client.batches.retrieve(batch.id).request_counts
    if counts is None or counts.completed != prompts:
        raise RuntimeError(f"not all prompts succeeded: {counts}")
