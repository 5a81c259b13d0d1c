"""What all measurements share: processes, their cost, and tables."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
MANAGE = (sys.executable, str(ROOT / "manage.py"))


@dataclass(frozen=True)
class Row:
    """A measured figure, and the bar it is held to: the most it may be, or the least."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    # The smallest and the largest of several rounds, of which the value is the median.
    spread: tuple[float, float] | None = None

    @property
    def holds(self) -> bool:
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass(frozen=True)
class Cost:
    """What a finished process has used."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    stdout: str


@contextmanager
def provider_process(latency: str = "0", *, mix: str = "") -> Iterator[str]:
    """A simulated provider in a process of its own; yields its base URL."""
    knobs = ("--latency", latency, "--mix", mix)
    with serving([sys.executable, "-m", "simulator", "--port", "0", *knobs]) as base_url:
        yield base_url


@contextmanager
def serving(command: Sequence[str]) -> Iterator[str]:
    """A server in a process of its own that prints its address first; yields that address."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            address = re.search(r"http://\S+", line)
            if address is None:
                sys.exit(f"The provider did not start: {line}")
            yield address[0]
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder with an empty database, thrown away in the end."""
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        run_process([*MANAGE, "migrate", "-v0"], Path(name))
        yield Path(name)


def run_process(
    command: Sequence[str],
    folder: Path,
    *,
    ends: Collection[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run a process to its end; exit if its status is another than it may end with."""
    project = {"DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
    variables = {**os.environ, **project, **(env or {})}
    with tempfile.TemporaryDirectory(prefix="threephase-bench-") as name:
        report = Path(name, "cost.json")
        launched = [sys.executable, "-m", "benchmarks.launcher", str(report), *command]
        ended = subprocess.run(
            launched, env=variables, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        if ended.returncode not in ends:
            sys.exit(f"{' '.join(command)} ended with {ended.returncode}")
        return Cost(**json.loads(report.read_text()), stdout=ended.stdout)


def prompt_text(number: int) -> str:
    return f"Question {number}: what is worth knowing about the number {number}?"


def prompts_file(folder: Path, count: int, *, padding: int = 0) -> Path:
    """Write a JSONL file of `count` prompts, each longer by `padding` characters."""
    path = folder / f"prompts-{count}-{padding}.jsonl"
    with path.open("w") as file:
        for number in range(count):
            text = f"{prompt_text(number)} {'A' * padding}" if padding else prompt_text(number)
            line = {"custom_id": f"id-{number}", "prompt": text}
            file.write(json.dumps(line) + "\n")
    return path


def process_batch(
    folder: Path,
    base_url: str,
    count: int,
    *options: str,
    padding: int = 0,
    ends: Collection[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run the bulk command over `count` prompts; its summary is on its standard output."""
    return run_process(
        [
            *(*MANAGE, "process_batch", str(prompts_file(folder, count, padding=padding))),
            *("--base-url", base_url, "--model", "simulated-small", "--json", "--quiet"),
            *("--output", str(output_file(folder)), "--overwrite", *options),
        ],
        folder,
        ends=ends,
        env=env,
    )


def output_file(folder: Path) -> Path:
    return folder / "out.jsonl"


def summary_of(cost: Cost) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(cost.stdout)
    return summary


def as_table(title: str, rows: Iterable[Row]) -> str:
    rows = list(rows)
    width = max([56, *(len(row.name) for row in rows)]) + 2
    lines = (
        f"  {row.name:<{width}}{row.value:>10.3f} {row.unit}{spread_of(row)}{bar_of(row)}"
        for row in rows
    )
    return "\n".join([title, "-" * len(title), *lines])


def spread_of(row: Row) -> str:
    return f" ({row.spread[0]:.2f} to {row.spread[1]:.2f})" if row.spread else ""


def bar_of(row: Row) -> str:
    if row.bar is None:
        return ""
    return f"   (bar {row.bar:g}: {'holds' if row.holds else 'MISSED'})"
