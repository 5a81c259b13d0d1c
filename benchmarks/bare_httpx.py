"""httpx as it comes, 100 calls at a time, nothing parsed or kept; run in its own environment."""

import asyncio
import sys

import httpx
import uvloop

from benchmarks.tools import prompt_text

WINDOW = 100


async def main(base_url: str, count: int) -> None:
    numbers = iter(range(count))
    limits = httpx.Limits(max_connections=WINDOW, max_keepalive_connections=WINDOW)
    async with httpx.AsyncClient(base_url=base_url, limits=limits) as client:

        async def lane() -> None:
            for number in numbers:
                message = {"role": "user", "content": prompt_text(number)}
                body = {"model": "m", "messages": [message]}
                response = await client.post("/chat/completions", json=body)
                response.raise_for_status()

        await asyncio.gather(*(lane() for _ in range(WINDOW)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
