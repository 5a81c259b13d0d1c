"""The least a call can cost in Python: aiohttp on uvloop, 100 at a time, nothing parsed or kept."""

import asyncio
import json
import sys

import aiohttp
import uvloop

from benchmarks.tools import prompt_text

WINDOW = 100


async def main(base_url: str, count: int) -> None:
    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WINDOW)) as session:

        async def lane() -> None:
            for number in numbers:
                message = {"role": "user", "content": prompt_text(number)}
                body = json.dumps({"model": "m", "messages": [message]}).encode()
                headers = {"Content-Type": "application/json"}
                url = f"{base_url}/chat/completions"
                async with session.post(url, data=body, headers=headers) as response:
                    await response.read()

        await asyncio.gather(*(lane() for _ in range(WINDOW)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
