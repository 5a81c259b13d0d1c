"""Prompts that share their beginnings, with a provider that caches some of them."""

import json
import random
import sys
from pathlib import Path

from benchmarks.tools import (
    MANAGE,
    Row,
    data_folder,
    output_file,
    run_process,
    serving,
    summary_of,
)
from simulator.prefix_cache import BLOCK_CHARS, PrefixCache, cacheable

PROMPTS, GROUPS, WINDOW = 10_000, 50, 100
PREFIX_CHARS = 4_000
# The cache holds the beginnings of this number of groups.
GROUPS_CACHED = 5
MODEL = "simulated-small"
# Not of heavy tails: which call is the last would decide the time.
LATENCY = "uniform:0.2,0.4"

TITLE = (
    f"{PROMPTS:,} prompts in {GROUPS} groups, each with a beginning of {PREFIX_CHARS:,} characters"
    f"; a cache for {GROUPS_CACHED} of them; window {WINDOW}, SQLite"
)


def prompts() -> list[str]:
    """The prompts, of which each follows any other."""
    draw = random.Random(1)
    beginnings = ["".join(draw.choices("abcdefgh ", k=PREFIX_CHARS)) for _ in range(GROUPS)]
    return [f"{draw.choice(beginnings)} Question {number}?" for number in range(PROMPTS)]


def best_share(texts: list[str]) -> float:
    """The share that is cached if all beginnings are kept: nothing is sent twice."""
    cache, found, total = PrefixCache(), 0, 0
    for text in texts:
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
        cached = cache.cached_chars(cacheable(json.dumps(body).encode()), most=sys.maxsize)
        found += min(cached, len(text)) // 4
        total += (len(text) + 3) // 4
    return found / total


def run(order: str, texts: list[str]) -> tuple[float, float]:
    """The share of cached tokens, and the seconds from the first request to the last answer."""
    blocks = GROUPS_CACHED * PREFIX_CHARS // BLOCK_CHARS
    knobs = ("--latency", LATENCY, "--prefix-cache", str(blocks))
    command = [sys.executable, "-m", "simulator", "--port", "0", *knobs]
    with data_folder() as folder, serving(command) as base_url:
        cost = run_process(
            [
                *(*MANAGE, "process_batch", str(written(folder, texts)), "--order", order),
                *("--base-url", base_url, "--model", MODEL, "--batch-size", str(WINDOW)),
                *("--output", str(output_file(folder)), "--json", "--quiet"),
            ],
            folder,
        )
        summary = summary_of(cost)
    return summary["cached_tokens"] / summary["input_tokens"], summary["timing"]["total_s"]


def written(folder: Path, texts: list[str]) -> Path:
    path = folder / "prompts.jsonl"
    with path.open("w") as file:
        file.writelines(json.dumps({"prompt": text}) + "\n" for text in texts)
    return path


def measure() -> list[Row]:
    texts = prompts()
    best = best_share(texts)
    by_input, input_s = run("input", texts)
    by_prefix, prefix_s = run("prefix", texts)
    return [
        Row("cached at best", best, ""),
        Row("cached, --order input", by_input, ""),
        Row("cached, --order prefix", by_prefix, ""),
        Row("cached by prefix / at best", by_prefix / best, "x", bar=0.95, at_least=True),
        Row("time, --order input", input_s, "s"),
        Row("time, --order prefix", prefix_s, "s"),
        Row("time by prefix / by input", prefix_s / input_s, "x", bar=1.02),
    ]
