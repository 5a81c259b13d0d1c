"""Peak memory of the bulk command for long prompts and for long replies."""

import asyncio
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.memory import lines_out_of_place
from benchmarks.tools import (
    MANAGE,
    Row,
    data_folder,
    output_file,
    prompts_file,
    provider_process,
    run_process,
    serving,
)
from tests.scripted_server import ScriptedServer, answer, chat

TITLE = "Peak memory of process_batch for long prompts and long replies, SQLite"
REPLIES, REPLY_BYTES = 100, 15_000_000
LINES, LINE_BYTES = 200, 5_000_000
MB_IN_MIB = 1_000_000 / 2**20


def measure() -> list[Row]:
    small, replies, misplaced = of_replies()
    lines, misplaced_too = of_lines()
    return [
        Row(f"{REPLIES} replies of a few bytes", small, "MiB"),
        Row(f"{REPLIES} replies of 15 MB in flight: growth", replies - small, "MiB", bar=286),
        Row(f"{LINES} lines of 5 MB (ingest, run, export): growth", lines - small, "MiB", bar=150),
        Row("output lines out of place", misplaced + misplaced_too, "lines", bar=0),
    ]


def of_replies() -> tuple[float, float, int]:
    """Return the peaks for short and for long replies."""
    with data_folder() as folder:
        path = prompts_file(folder, REPLIES)
        with replying(10) as base_url:
            small = peak_of(folder, path, base_url)
        with replying(REPLY_BYTES) as base_url:
            large = peak_of(folder, path, base_url)
        return small, large, lines_out_of_place(output_file(folder), REPLIES)


def of_lines() -> tuple[float, int]:
    with data_folder() as folder, provider_process() as base_url:
        # Each as long as a photograph in base64.
        peak = peak_of(folder, prompts_file(folder, LINES, padding=LINE_BYTES), base_url)
        return peak, lines_out_of_place(output_file(folder), LINES)


def peak_of(folder: Path, path: Path, base_url: str) -> float:
    command = [
        *MANAGE,
        "process_batch",
        str(path),
        "--output",
        str(output_file(folder)),
        "--overwrite",
    ]
    options = ["--base-url", base_url, "--model", "simulated-small", "--quiet"]
    return run_process([*command, *options], folder).peak_mib


def replying(size: int) -> AbstractContextManager[str]:
    """A provider in a process of its own that answers with `size` characters."""
    return serving([sys.executable, "-m", "benchmarks.long_texts", str(size)])


async def reply(size: int) -> None:
    async with ScriptedServer(answer(chat("y" * size))) as server:
        print(server.base_url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(reply(int(sys.argv[1])))
