"""Retry a call after temporary errors, within a number of attempts and a time budget."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from evalkit.core.format import format_count
from evalkit.core.trial import AgentError

INITIAL_WAIT_S = 1.0
MAX_WAIT_S = 30.0
"""Waits double from the initial to the longest one; a wait that a server asks for may be longer."""


class Attempted(Protocol):
    """The result of one attempt."""

    @property
    def error(self) -> AgentError | None:
        """Why the attempt failed, or None."""


class TimeBudget(Protocol):
    """The time that calls with failed attempts may take together."""

    @property
    def remaining_s(self) -> float:
        """The seconds that are left."""

    def count_time(self) -> AbstractContextManager[object]:
        """Count the time from the first failed attempt of a call to its end."""

    async def wait(self, wait_s: float) -> None:
        """Wait before the next attempt; `wait_s` is at most `remaining_s`."""


Result = TypeVar("Result", bound=Attempted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried(Generic[Result]):
    """The last result of a call, and the number of attempts.

    `give_up_reason` is a sentence if the last error was retryable, else empty.
    """

    result: Result
    attempts: int
    give_up_reason: str = ""


async def retry_call(
    call: Callable[[int], Awaitable[Result]],
    *,
    attempts: int,
    budget: TimeBudget,
    rng: random.Random,
) -> Retried[Result]:
    """Call until there is no retryable error, or the attempts or the time budget are used up.

    `call` gets the number of the attempt, from 1. If the next wait does not fit into
    the budget, the error is final.
    """
    with ExitStack() as stack:
        for attempt in itertools.count(1):
            result = await call(attempt)
            error, reason = result.error, ""
            if error is not None and error.retryable:
                # Only calls with a failed attempt use the budget.
                if attempt == 1:
                    stack.enter_context(budget.count_time())
                wait_s = compute_wait_s(error, attempt, rng)
                left_s = budget.remaining_s
                if attempt >= attempts:
                    reason = f"Given up after {format_count(attempt, 'attempt')}."
                elif wait_s > left_s:
                    reason = (
                        f"Given up: the next attempt is {wait_s:.0f} s away, deadline_s leaves "
                        f"{left_s:.0f} s."
                    )
                else:
                    await budget.wait(wait_s)
                    continue
            break
    return Retried(result=result, attempts=attempt, give_up_reason=reason)


def compute_wait_s(error: AgentError, attempt: int, rng: random.Random) -> float:
    """Return the seconds to wait after the failed `attempt` (from 1), at least as many as the server asks for.

    The wait grows exponentially. It is random, so that calls that failed at the same time are
    not repeated at the same time.
    """
    doubled_s = INITIAL_WAIT_S * 2.0 ** min(attempt - 1, 30)  # min, because a float can overflow
    backoff_s = min(doubled_s, MAX_WAIT_S) * rng.uniform(0.5, 1.0)
    # A server's wait is a minimum, so it is only spread upward.
    return max(backoff_s, (error.retry_after_s or 0.0) * rng.uniform(1.0, 1.1))
