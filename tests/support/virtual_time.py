"""An event loop whose clock jumps to the next timer, and endpoints that refuse calls in many ways."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from evalkit.core.trial import AgentError

Found = TypeVar("Found")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: instead, the clock goes on by the time that the loop would have waited."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "every task waits for another one"
            self.now_s += max(timeout, 0.0)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def run_virtually(main: Callable[[], Awaitable[Found]]) -> Found:
    """Run a coroutine to its end without waiting for any timer."""
    loop = _VirtualLoop()
    try:
        return loop.run_until_complete(asyncio.ensure_future(main(), loop=loop))
    finally:
        loop.close()


def now_s() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def refusal(wait_s: float | None = None, kind: str = "rate_limited") -> AgentError:
    """A refusal for now."""
    return AgentError(kind=kind, message=kind, retryable=True, transient=True, retry_after_s=wait_s)


def failure(kind: str = "http_status") -> AgentError:
    """An error that may be the fault of the one call."""
    return AgentError(kind=kind, message=kind, retryable=True)


class Endpoint:
    """Serves a call in `latency_s`, unless `decide` refuses it or has it fail."""

    def __init__(self, latency_s: float = 0.1, refusal_s: float = 0.003, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.latency_s = latency_s
        self.refusal_s = refusal_s
        self.starts_s: list[float] = []
        self.refusals_s: list[float] = []
        self.served: list[object] = []

    def decide(self) -> AgentError | None:
        """Return why the call that arrives now is not served."""
        return None

    async def __call__(self, call: object = None) -> AgentError | None:
        """Serve or refuse one call."""
        self.starts_s.append(now_s())
        await asyncio.sleep(self.refusal_s * self.rng.uniform(0.5, 1.0))
        error = self.decide()
        if error is not None:
            self.refusals_s.append(now_s())
            return error
        await asyncio.sleep(self.latency_s)
        self.served.append(call)
        return None

    @property
    def refused_share(self) -> float:
        """The share of calls that were not served."""
        return len(self.refusals_s) / len(self.starts_s)


class TokenBucket(Endpoint):
    """Serves `rate` calls per second and `burst` at once; says how long to wait as `header` has it."""

    def __init__(self, rate: float, burst: float, header: str = "seconds", **given: Any) -> None:
        super().__init__(**given)
        self.rate, self.burst, self.header = rate, burst, header
        self.level, self.at_s = burst, -math.inf

    def decide(self) -> AgentError | None:
        """Take a call from the bucket."""
        now = now_s()
        if self.at_s > -math.inf:
            self.level = min(self.burst, self.level + (now - self.at_s) * self.rate)
        self.at_s = now
        if self.level >= 1:
            self.level -= 1
            return None
        missing_s = (1 - self.level) / self.rate
        waits = {"seconds": math.ceil(missing_s), "exact": missing_s + 0.001, "none": None}
        return refusal(waits[self.header])


class FixedWindow(Endpoint):
    """Serves so many calls in each window of time."""

    def __init__(self, calls: int, window_s: float, **given: Any) -> None:
        super().__init__(**given)
        self.calls, self.window_s = calls, window_s
        self.used, self.window = 0, -1

    def decide(self) -> AgentError | None:
        """Count the call in its window."""
        window, into_s = divmod(now_s(), self.window_s)
        if window != self.window:
            self.window, self.used = int(window), 0
        self.used += 1
        return None if self.used <= self.calls else refusal(self.window_s - into_s)


class AtMostAtOnce(Endpoint):
    """Serves so many calls at the same time."""

    def __init__(self, calls: int, **given: Any) -> None:
        super().__init__(**given)
        self.calls, self.ends_s = calls, list[float]()

    def decide(self) -> AgentError | None:
        """Refuse the call if too many are served."""
        self.ends_s = [end_s for end_s in self.ends_s if end_s > now_s()]
        if len(self.ends_s) >= self.calls:
            return refusal()
        self.ends_s.append(now_s() + self.latency_s)
        return None


class AtRandom(Endpoint):
    """Refuses a share of the calls at any rate, and has other shares fail."""

    def __init__(
        self, share: float, wait_s: float | None = None, failing: float = 0.0, **given: Any
    ) -> None:
        super().__init__(**given)
        self.share, self.wait_s, self.failing = share, wait_s, failing

    def decide(self) -> AgentError | None:
        """Draw."""
        drawn = self.rng.random()
        if drawn < self.share:
            return refusal(self.wait_s)
        return failure() if drawn < self.share + self.failing else None


class Outage(Endpoint):
    """Serves no call for a while, once so many were served."""

    def __init__(self, error: AgentError, after: int = 30, for_s: float = 20.0) -> None:
        super().__init__(refusal_s=0.05)
        self.error, self.after, self.for_s = error, after, for_s
        self.began_s = math.inf

    def decide(self) -> AgentError | None:
        """Serve no call during the outage."""
        if len(self.served) >= self.after and self.began_s == math.inf:
            self.began_s = now_s()
        return self.error if 0 <= now_s() - self.began_s < self.for_s else None
