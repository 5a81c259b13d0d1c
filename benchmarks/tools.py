"""What all measurements share: processes, their cost, and tables."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
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

    @property
    def holds(self) -> bool:
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


@dataclass(frozen=True)
class Cost:
    """What a finished process has used."""

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


def run_process(command: Sequence[str], folder: Path, *, ends: Collection[int] = (0,)) -> Cost:
    """Run a process to its end; exit if its status is another than it may end with."""
    env = {**os.environ, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    stdout = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stdout:
        process.stdout.close()
    if process.returncode not in ends:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, stdout)


def prompt_text(number: int) -> str:
    return f"Question {number}: what is worth knowing about the number {number}?"


def prompts_file(folder: Path, count: int) -> Path:
    """A JSONL file of so many prompts."""
    path = folder / f"prompts-{count}.jsonl"
    with path.open("w") as file:
        for number in range(count):
            line = {"custom_id": f"id-{number}", "prompt": prompt_text(number)}
            file.write(json.dumps(line) + "\n")
    return path


def process_batch(
    folder: Path, base_url: str, count: int, *options: str, ends: Collection[int] = (0,)
) -> Cost:
    """Run the bulk command over so many prompts; its summary is on its standard output."""
    return run_process(
        [
            *(*MANAGE, "process_batch", str(prompts_file(folder, count))),
            *("--base-url", base_url, "--model", "simulated-small", "--json", "--quiet"),
            *("--output", str(output_file(folder)), "--overwrite", *options),
        ],
        folder,
        ends=ends,
    )


def output_file(folder: Path) -> Path:
    return folder / "out.jsonl"


def summary_of(cost: Cost) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(cost.stdout)
    return summary


def as_table(title: str, rows: Iterable[Row]) -> str:
    lines = [title, "-" * len(title)]
    for row in rows:
        bar = (
            "" if row.bar is None else f"   (bar {row.bar:g}: {'holds' if row.holds else 'MISSED'})"
        )
        lines.append(f"  {row.name:<58}{row.value:>10.3f} {row.unit}{bar}")
    return "\n".join(lines)
