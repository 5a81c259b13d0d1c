"""litellm with asyncio.gather and a semaphore, nothing kept; run in its own environment."""

import asyncio
import os
import sys

import uvloop

# Before the import, which else downloads a list of prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

from litellm import acompletion

from benchmarks.tools import prompt_text

WINDOW = 100


async def main(base_url: str, count: int) -> None:
    semaphore = asyncio.Semaphore(WINDOW)

    async def call(number: int) -> None:
        async with semaphore:
            await acompletion(
                model="openai/m",
                messages=[{"role": "user", "content": prompt_text(number)}],
                api_base=base_url,
                api_key="none",
            )

    await asyncio.gather(*map(call, range(count)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
