"""A table through a template: how fast its rows are taken in, and how much memory that takes."""

import csv
import random
from pathlib import Path

from benchmarks.tools import (
    MANAGE,
    Cost,
    Row,
    data_folder,
    output_file,
    provider_process,
    run_process,
)

ROWS, FEW = 1_000_000, 1_000
TITLE = f"CSV through a template, {ROWS:,} rows, SQLite"
TEMPLATE = "Summarise this review in one line.\n\n{{ review }}\n\nStars: {{ stars }}\n"
WORDS = ("good", "slow", "broke", "nice, cheap", "été", '"quoted"')
# What a command ends with that waits after a pilot.
PAUSED = 2


def table(folder: Path, rows: int) -> Path:
    draw, path = random.Random(1), folder / f"{rows}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["id", "review", "stars", "country", "date"])
        for number in range(rows):
            text = " ".join(draw.choices(WORDS, k=20))
            writer.writerow([number, text, draw.randint(1, 5), "DE", "2026-01-01"])
    return path


def taken_in(rows: int) -> Cost:
    """The cost of a command that makes a batch, and runs one prompt of it."""
    with data_folder() as folder, provider_process() as base_url:
        (folder / "t.j2").write_text(TEMPLATE)
        return run_process(
            [
                *(*MANAGE, "process_batch", str(table(folder, rows)), "--pilot", "1"),
                *("--template", str(folder / "t.j2"), "--base-url", base_url, "--quiet"),
                *("--model", "simulated-small", "--output", str(output_file(folder))),
            ],
            folder,
            ends=(PAUSED,),
        )


def measure() -> list[Row]:
    few, many = taken_in(FEW), taken_in(ROWS)
    rows = ROWS - FEW
    return [
        Row("rows", rows / (many.wall_s - few.wall_s), "/s", bar=40_000, at_least=True),
        Row("CPU of a row", 1e6 * (many.cpu_s - few.cpu_s) / rows, "µs"),
        Row(f"peak memory, {FEW:,} rows", few.peak_mib, "MiB"),
        Row(f"peak memory, {ROWS:,} rows", many.peak_mib, "MiB", bar=few.peak_mib + 20),
    ]
