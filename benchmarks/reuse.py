"""What it costs to look for answers to equal requests, and to use them again."""

import json
from pathlib import Path

from benchmarks.tools import (
    MANAGE,
    Cost,
    Row,
    data_folder,
    output_file,
    process_batch,
    prompt_text,
    provider_process,
    run_process,
)

TITLE = "Answers used again, process_batch on SQLite, zero latency"
PROMPTS = 20_000
ROWS, CHANGED, NEW, GONE = 100_000, 3_000, 500, 200


def measure() -> list[Row]:
    with provider_process() as base_url:
        with data_folder() as folder:
            plain = process_batch(folder, base_url, PROMPTS).cpu_s
        with data_folder() as folder:
            searched = process_batch(folder, base_url, PROMPTS, "--reuse", "owner").cpu_s
            reused = process_batch(folder, base_url, PROMPTS, "--reuse", "owner").cpu_s
        with data_folder() as folder:
            since = since_an_earlier_batch(folder, base_url)
    return [
        Row("without", micros(plain), "µs a prompt"),
        Row("looked for and kept, none found", micros(searched), "µs a prompt"),
        Row("more than without", micros(searched - plain), "µs a prompt", bar=15),
        Row("all used again", micros(reused), "µs a prompt"),
        *since,
    ]


def micros(seconds: float) -> float:
    return seconds / PROMPTS * 1e6


def since_an_earlier_batch(folder: Path, base_url: str) -> list[Row]:
    """Run a table, then the same with some rows changed, new and gone."""
    before = {f"id-{number}": prompt_text(number) for number in range(ROWS)}
    after = dict(list(before.items())[GONE:])
    after |= {f"id-{number}": f"{prompt_text(number)} Again." for number in range(ROWS)[-CHANGED:]}
    after |= {f"new-{number}": f"New: {prompt_text(number)}" for number in range(NEW)}
    run(folder, base_url, before, "before.jsonl")
    figures = json.loads(
        run(folder, base_url, after, "after.jsonl", "--since", "before.jsonl").stdout
    )
    told = figures["since"]
    most = CHANGED + NEW
    return [
        Row(f"--since over {ROWS:,} rows, {most:,} to send: calls", figures["calls"], "", bar=most),
        Row("rows told to be gone", told["gone"], "", bar=GONE),
        Row("rows told to have changed", told["changed"], "", bar=CHANGED),
        Row("rows told to be new", told["new"], "", bar=NEW),
    ]


def run(folder: Path, base_url: str, rows: dict[str, str], name: str, *options: str) -> Cost:
    path = folder / name
    with path.open("w") as file:
        for key, text in rows.items():
            file.write(json.dumps({"custom_id": key, "prompt": text}) + "\n")
    return run_process(
        [
            *(*MANAGE, "process_batch", str(path), "--base-url", base_url, "--json", "--quiet"),
            *("--model", "simulated-small", "--output", str(output_file(folder)), "--overwrite"),
            *options,
        ],
        folder,
    )
