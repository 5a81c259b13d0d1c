"""CPU of a prompt from input file to output file, beside that of a bare aiohttp call."""

import sys

from benchmarks.tools import Row, data_folder, process_batch, provider_process, run_process

TITLE = "20,000 prompts at zero latency: CPU of the client"
PROMPTS = 20_000
FEW = 200


def measure() -> list[Row]:
    with data_folder() as folder, provider_process() as base_url:
        few = process_batch(folder, base_url, FEW).cpu_s
        many = process_batch(folder, base_url, PROMPTS).cpu_s
        bare_command = [sys.executable, "-m", "benchmarks.bare_aiohttp", base_url]
        bare_few = run_process([*bare_command, str(FEW)], folder).cpu_s
        bare_many = run_process([*bare_command, str(PROMPTS)], folder).cpu_s
    ours = (many - few) / (PROMPTS - FEW) * 1e6
    bare = (bare_many - bare_few) / (PROMPTS - FEW) * 1e6
    return [
        Row("bare aiohttp, nothing stored", bare, "µs a call"),
        Row("process_batch: ingested, sent, stored, exported", ours, "µs a prompt", bar=600),
        # The bar of 600 µs was set where bare aiohttp takes 130 µs.
        Row("ratio", ours / bare, "x", bar=600 / 130),
    ]
