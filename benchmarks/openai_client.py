"""The openai package with asyncio.gather and a semaphore, nothing kept; run in its environment."""

import asyncio
import sys

import uvloop
from openai import AsyncOpenAI

from benchmarks.tools import prompt_text

WINDOW = 100


async def main(base_url: str, count: int) -> None:
    semaphore = asyncio.Semaphore(WINDOW)
    async with AsyncOpenAI(base_url=base_url, api_key="none") as client:

        async def call(number: int) -> None:
            async with semaphore:
                await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": prompt_text(number)}]
                )

        await asyncio.gather(*map(call, range(count)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
