"""CPU and memory of a prompt with other clients, with process_batch and with a worker."""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from matplotlib import pyplot

from benchmarks.contenders import (
    FEW,
    Run,
    Sample,
    client_run,
    command_run,
    sample_of,
    worker_sample,
)
from benchmarks.long_texts import replying
from benchmarks.peer_environments import PeerNotInstalled, python_of
from benchmarks.tools import DOCS, Row, as_table, provider_process
from tests.processes.stack import Servers, servers
from tests.servers import valkey_binary

TITLE = "CPU and memory of a prompt, by client: window 100, zero latency"
PLOT = DOCS / "peers.svg"
PROMPTS = 20_000
ROUNDS = 3
BODY_BYTES = 50_000

BARE = "bare aiohttp on uvloop"
# By package: what it is called here, its module, and its share of the prompts, since some are slow.
PEERS = {
    "httpx": ("bare httpx", "bare_httpx", 0.1),
    "openai": ("openai package", "openai_client", 0.1),
    "litellm": ("litellm", "litellm_client", 0.05),
}


@dataclass(frozen=True)
class Contender:
    """A client to measure, and its bars: CPU by bare aiohttp's, memory, the server's CPU."""

    name: str
    measure: Callable[[], Sample]
    times_bare: float | None = None
    peak_mib: float | None = None
    server_times_bare: float | None = None
    in_plot: bool = True


Samples = Mapping[Contender, Sequence[Sample]]


def measure(prompts: int = PROMPTS, rounds: int = ROUNDS) -> list[Row]:
    with contenders(prompts) as all_of_them:
        samples: dict[Contender, list[Sample]] = {contender: [] for contender in all_of_them}
        for number in range(1, rounds + 1):
            for contender, found in samples.items():
                found.append(contender.measure())
                said = f"{contender.name}: {found[-1].cpu_us:.0f} µs"
                print(f"round {number} of {rounds}: {said}", file=sys.stderr, flush=True)
    plot(samples)
    return [*costs(samples), *of_narrow_windows(samples)]


@contextmanager
def contenders(prompts: int) -> Iterator[list[Contender]]:
    """All that are measured, with the servers that they need."""
    with (
        tempfile.TemporaryDirectory(prefix="threephase-bench-") as name,
        servers("sqlite", Path(name), valkey_binary()) as sqlite,
        servers("postgres", Path(name), valkey_binary()) as postgres,
        provider_process() as base_url,
        replying(BODY_BYTES) as long_replies,
    ):
        databases = {"SQLite": sqlite, "PostgreSQL": postgres}
        yield [
            contender(BARE, client_run(Path(sys.executable), "bare_aiohttp", base_url), prompts),
            *peers(base_url, prompts),
            *(
                each
                for database, shared in databases.items()
                for each in ours(database, shared, base_url, prompts)
            ),
            *large_bodies(sqlite, base_url, long_replies, at_least(prompts // 10)),
        ]


def contender(name: str, run: Run, prompts: int) -> Contender:
    return Contender(name, lambda: sample_of(run, prompts))


def peers(base_url: str, prompts: int) -> Iterator[Contender]:
    """The peers that can be installed; of the others it is said why not."""
    for package, (name, module, share) in PEERS.items():
        try:
            run = client_run(python_of(package), module, base_url)
        except PeerNotInstalled as error:
            print(f"{name} is not measured, it cannot be installed: {error}", file=sys.stderr)
        else:
            yield contender(name, run, at_least(int(prompts * share)))


def ours(database: str, shared: Servers, base_url: str, prompts: int) -> Iterator[Contender]:
    wide = command_run(shared, base_url)
    narrow = command_run(shared, base_url, "--batch-size", "10")
    yield Contender(
        f"process_batch, {database}",
        lambda: sample_of(wide, prompts),
        times_bare=2.6,
        server_times_bare=0.4,
    )
    yield Contender(
        f"process_batch, {database}, window 10",
        lambda: sample_of(narrow, at_least(prompts // 2)),
        in_plot=False,
    )
    yield Contender(
        f"worker, {database}", lambda: worker_sample(shared, base_url, prompts), times_bare=3.0
    )


def large_bodies(
    shared: Servers, base_url: str, long_replies: str, prompts: int
) -> Iterator[Contender]:
    window = ("--batch-size", "1000")
    runs = {
        "prompts": command_run(shared, base_url, *window, padding=BODY_BYTES),
        "replies": command_run(shared, long_replies, *window),
    }
    for what, run in runs.items():
        yield Contender(
            f"process_batch, SQLite, window 1000, {what} of 50 KB",
            lambda run=run: sample_of(run, prompts),  # type: ignore[misc]  # bound now
            times_bare=6.0,
            peak_mib=200,
            in_plot=False,
        )


def at_least(prompts: int) -> int:
    """Return enough prompts for a difference from few of them."""
    return max(prompts, 5 * FEW)


def costs(samples: Samples) -> Iterator[Row]:
    bare = next([one.cpu_us for one in found] for who, found in samples.items() if who.name == BARE)
    for who, found in samples.items():
        cpu, server = [one.cpu_us for one in found], [one.server_us for one in found]
        yield row(f"{who.name}: CPU", cpu, "µs")
        if who.name != BARE:
            yield row(f"{who.name}: CPU by bare", ratios(cpu, bare), "x", bar=who.times_bare)
        if any(server):
            yield row(f"{who.name}: the server's CPU", server, "µs")
            by_bare = ratios(server, bare)
            yield row(
                f"{who.name}: the server's CPU by bare", by_bare, "x", bar=who.server_times_bare
            )
        peaks = [one.peak_mib for one in found]
        yield row(f"{who.name}: peak memory", peaks, "MiB", bar=who.peak_mib)


def of_narrow_windows(samples: Samples) -> Iterator[Row]:
    cpu = {who.name: [one.cpu_us for one in found] for who, found in samples.items()}
    for name, narrow in cpu.items():
        if name.endswith(suffix := ", window 10"):
            wide = cpu[name.removesuffix(suffix)]
            yield row(f"{name}: CPU by that of window 100", ratios(narrow, wide), "x", bar=1.5)


def ratios(these: Sequence[float], those: Sequence[float]) -> list[float]:
    """Return the ratio of each round, in which the machine was as fast for both."""
    return [this / that for this, that in zip(these, those, strict=True)]


def row(name: str, rounds: Sequence[float], unit: str, *, bar: float | None = None) -> Row:
    spread = (min(rounds), max(rounds))
    return Row(name, statistics.median(rounds), unit, bar=bar, spread=spread)


def plot(samples: Samples) -> None:
    """Draw the CPU of a prompt by client: the median, and the spread as a line."""
    shown = [
        row(who.name, [one.cpu_us for one in found], "µs")
        for who, found in samples.items()
        if who.in_plot
    ]
    shown.sort(key=lambda each: each.value)
    pyplot.rcParams["svg.hashsalt"] = "threephase"
    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    colors = ["#1a6fc2" if is_ours(each.name) else "#9aa3ad" for each in shown]
    axes.barh([each.name for each in shown], [each.value for each in shown], color=colors)
    for place, each in enumerate(shown):
        least, most = each.spread or (each.value, each.value)
        axes.hlines(place, least, most, color="black", lw=1.2)
        axes.annotate(f"  {each.value:,.0f} µs", (most, place), va="center", fontsize=9)
    axes.set(xlabel="CPU of the client for a prompt, in µs")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()
    figure.savefig(PLOT, metadata={"Date": None})
    pyplot.close(figure)


def is_ours(name: str) -> bool:
    return name.startswith(("process_batch", "worker"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    add = parser.add_argument
    add("--prompts", type=int, default=PROMPTS, help="%(default)s; slow peers get fewer")
    add("--rounds", type=int, default=ROUNDS, help="%(default)s")
    add("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(arguments)
    if given.prompts <= FEW or given.rounds < 1:
        parser.error(f"more than {FEW} prompts are needed, and a round")
    rows = measure(given.prompts, given.rounds)
    print(json.dumps([asdict(each) for each in rows]) if given.json else as_table(TITLE, rows))
    return 0 if all(each.holds for each in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
