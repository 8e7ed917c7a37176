"""Turn what a call of the user's function returned into its result, such as by awaiting it."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


async def finish_async(returned: Any) -> object:
    """Return the result of a call to an async function."""
    return await returned


class Finisher:
    """Finishes the calls of a sync function, all of them in one thread.

    A sync function may return something to be awaited, such as the call of a wrapped async function.
    All of these run in one event loop, because the clients that an agent shares between its calls
    belong to the loop that has first used them.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def finish(self, returned: object) -> object:
        """Return the result of a call: what it returned, or what that gives when it is awaited."""
        if not hasattr(returned, "__await__"):
            return returned
        import asyncio  # noqa: PLC0415 - takes 60 ms, and hardly any sync function needs it

        if self._runner is None:
            self._runner = asyncio.Runner()
        # The runner would keep the context of its first call, in which other spans are recorded.
        return self._runner.run(finish_async(returned), context=contextvars.copy_context())
