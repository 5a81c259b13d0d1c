"""The schedules under heavy-tailed latency, against the computed ideal of list scheduling."""

import heapq
import sqlite3
from contextlib import closing
from pathlib import Path

from matplotlib import pyplot

from benchmarks.tools import (
    DOCS,
    Row,
    data_folder,
    process_batch,
    prompt_text,
    provider_process,
    summary_of,
)
from simulator import Behaviour
from simulator.behaviour import plan_call

TITLE = "2,000 prompts, lognormal latency (median 0.3 s, sigma 0.8), window 100, SQLite"
PROMPTS = 2000
WINDOW = 100
LATENCY = "lognormal:0.3,0.8"
PLOT = DOCS / "schedules.svg"


def latencies() -> list[float]:
    """How long the simulated provider takes for each prompt."""
    behaviour = Behaviour(latency=LATENCY)
    return [plan_call(behaviour, prompt_text(n), 1).latency for n in range(PROMPTS)]


def list_schedule(times: list[float], window: int) -> list[float]:
    """When each call ends if a free lane always takes the next prompt at once."""
    lanes = [0.0] * window
    ends = []
    for time in times:
        end = heapq.heappop(lanes) + time
        heapq.heappush(lanes, end)
        ends.append(end)
    return sorted(ends)


def chunk_schedule(times: list[float], window: int) -> list[float]:
    """When each call ends if every chunk waits for the slowest call of the one before."""
    start, ends = 0.0, []
    for lo in range(0, len(times), window):
        chunk = [start + time for time in times[lo : lo + window]]
        ends += chunk
        start = max(chunk)
    return sorted(ends)


def run(schedule: str) -> tuple[float, list[float]]:
    """The total of a run, and when each of its answers came."""
    with data_folder() as folder, provider_process(LATENCY) as base_url:
        cost = process_batch(
            folder, base_url, PROMPTS, "--schedule", schedule, "--batch-size", str(WINDOW)
        )
        return summary_of(cost)["timing"]["total_s"], completions(folder)


def completions(folder: Path) -> list[float]:
    """The time of each answer since the first request, ascending."""
    sql = "SELECT (julianday(done_at) - 2440587.5) * 86400.0, elapsed_s FROM batches_result"
    with closing(sqlite3.connect(folder / "db.sqlite3")) as connection:
        rows = connection.execute(sql).fetchall()
    start = min(done - elapsed for done, elapsed in rows)
    return sorted(done - start for done, _ in rows)


def measure() -> list[Row]:
    times = latencies()
    ideal, chunked = list_schedule(times, WINDOW), chunk_schedule(times, WINDOW)
    rolling, rolling_ends = run("rolling")
    lockstep, lockstep_ends = run("lockstep")
    plot(ideal, rolling_ends, lockstep_ends)
    return [
        Row("one at a time (sum of latencies)", sum(times), "s"),
        Row("ideal of a work-conserving window in input order", ideal[-1], "s"),
        Row("ideal of chunks", chunked[-1], "s"),
        Row("rolling", rolling, "s"),
        Row("lockstep", lockstep, "s"),
        Row("rolling / ideal", rolling / ideal[-1], "x", bar=1.02),
        Row("lockstep / ideal", lockstep / ideal[-1], "x"),
    ]


def plot(ideal: list[float], rolling: list[float], lockstep: list[float]) -> None:
    """Draw how many prompts are done when."""
    pyplot.rcParams["svg.hashsalt"] = "threephase"
    figure, axes = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    counts = range(1, PROMPTS + 1)
    axes.plot(lockstep, counts, label=f"lockstep, {lockstep[-1]:.1f} s", color="#c2571a")
    axes.plot(rolling, counts, label=f"rolling, {rolling[-1]:.1f} s", color="#1a6fc2", lw=2.5)
    axes.plot(ideal, counts, label=f"ideal, {ideal[-1]:.1f} s", color="black", ls=":", lw=1.2)
    axes.set(xlabel="seconds since the first request", ylabel="prompts done", title=TITLE)
    axes.title.set_fontsize(10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")
    DOCS.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})
    pyplot.close(figure)
