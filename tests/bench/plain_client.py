"""The calls of an eval run without evalkit: `python plain_client.py LIBRARY URL CALLS CONCURRENCY`."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable


async def call_all(call: Callable[[int], Awaitable[object]], calls: int, concurrency: int) -> None:
    """Make every call, at most so many at once."""
    slots = asyncio.Semaphore(concurrency)

    async def call_in_turn(number: int) -> None:
        async with slots:
            await call(number)

    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(call_in_turn(number))


async def use_aiohttp(url: str, calls: int, concurrency: int) -> None:
    """Call by aiohttp."""
    import aiohttp  # noqa: PLC0415 - each library is loaded only where it is measured

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(number: int) -> None:
            async with session.post(url, json={"input": f"question {number}"}) as response:
                await response.json()

        await call_all(call, calls, concurrency)


async def use_httpx(library: str, url: str, calls: int, concurrency: int) -> None:
    """Call by httpx, or by its successor of the same interface."""
    httpx = importlib.import_module(library)
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def call(number: int) -> None:
            (await client.post(url, json={"input": f"question {number}"})).json()

        await call_all(call, calls, concurrency)


def main() -> None:
    """Read the command line and call."""
    library, url, calls, concurrency = sys.argv[1:]
    if library == "aiohttp":
        asyncio.run(use_aiohttp(url, int(calls), int(concurrency)))
    else:
        asyncio.run(use_httpx(library, url, int(calls), int(concurrency)))


if __name__ == "__main__":
    main()
