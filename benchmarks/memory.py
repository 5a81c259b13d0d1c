"""Peak memory of the bulk command for few and for many prompts."""

import json
from pathlib import Path

from benchmarks.tools import Row, data_folder, output_file, process_batch, provider_process

TITLE = "Peak memory of process_batch, zero latency"
FEW = 1_000
MANY = 100_000


def measure() -> list[Row]:
    with data_folder() as folder, provider_process() as base_url:
        few = process_batch(folder, base_url, FEW).peak_mib
        many = process_batch(folder, base_url, MANY).peak_mib
        misplaced = lines_out_of_place(output_file(folder), MANY)
    return [
        Row(f"{FEW:,} prompts", few, "MiB"),
        Row(f"{MANY:,} prompts", many, "MiB"),
        Row("difference", many - few, "MiB", bar=60),
        Row("output lines out of place", misplaced, "lines", bar=0),
    ]


def lines_out_of_place(path: Path, count: int) -> int:
    """How many of the lines that there should be are not in their place."""
    with path.open() as file:
        right: int = sum(
            json.loads(line)["custom_id"] == f"id-{number}" for number, line in enumerate(file)
        )
    return count - right
