"""Calls with retries without evalkit: `python plain_weather.py URL CALLS CONCURRENCY`."""

from __future__ import annotations

import asyncio
import random
import sys

import aiohttp

TIMEOUT_S = 3.0
ATTEMPTS = 10


async def call(session: aiohttp.ClientSession, url: str, number: int) -> str:
    """Call until there is an answer, with growing waits between."""
    for attempt in range(ATTEMPTS):
        wait_s = min(0.5 * 2**attempt, 8.0) * random.uniform(0.5, 1.0)
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                session.post(url, json={"input": f"question {number}"}) as response,
            ):
                if response.status == 200:
                    return str((await response.json())["output"])
                wait_s = max(wait_s, float(response.headers.get("Retry-After", 0)))
        except (TimeoutError, aiohttp.ClientError):
            pass
        await asyncio.sleep(wait_s)
    raise SystemExit(f"call {number} is lost")


async def main() -> None:
    """Read the command line and call."""
    url, calls, concurrency = sys.argv[1:]
    slots = asyncio.Semaphore(int(concurrency))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call_in_turn(number: int) -> None:
            async with slots:
                await call(session, url, number)

        async with asyncio.TaskGroup() as group:
            for number in range(int(calls)):
                group.create_task(call_in_turn(number))


if __name__ == "__main__":
    asyncio.run(main())
