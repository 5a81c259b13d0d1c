"""The task's own figure: 5 prompts of 0.5 s each, one after the other and at once."""

import asyncio

from batches.engine.processor import ProcessedBatch, process_prompt_batch
from batches.providers.client import ProviderClient
from benchmarks.tools import Row, prompt_text, provider_process

TITLE = "5 prompts of 0.5 s"
PROMPTS = [prompt_text(number) for number in range(5)]


async def run_engine(base_url: str, *, batch_size: int) -> ProcessedBatch:
    async with ProviderClient(base_url, connections=batch_size) as client:
        return await process_prompt_batch(
            PROMPTS, send=client.send, defaults={"model": "m"}, batch_size=batch_size
        )


def measure() -> list[Row]:
    with provider_process("fixed:0.5") as base_url:
        one = asyncio.run(run_engine(base_url, batch_size=1)).timing
        all_at_once = asyncio.run(run_engine(base_url, batch_size=5)).timing
    return [
        Row("sequential (batch_size=1)", one.total_s, "s"),
        Row("concurrent (batch_size=5)", all_at_once.total_s, "s", bar=0.56),
        Row("speed-up", one.total_s / all_at_once.total_s, "x"),
    ]
