"""Repeat a call after temporary errors, within a number of attempts and a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from evalkit.agents.lane import Lane
from evalkit.core.format import format_count
from evalkit.core.trial import AgentError

INITIAL_WAIT_S = 1.0
MAX_WAIT_S = 30.0
"""Waits double from the initial to the longest one; a wait that a server asks for may be longer."""

TRANSIENT_WAIT_S = 0.5
MAX_TRANSIENT_WAIT_S = 8.0
"""The same for a call that spent no attempt, because nothing is wrong with it."""


class Attempted(Protocol):
    """The result of one attempt."""

    @property
    def error(self) -> AgentError | None:
        """Why the attempt failed, or None."""


Result = TypeVar("Result", bound=Attempted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retried(Generic[Result]):
    """The last result of a call, and the number of attempts that it spent.

    `give_up_reason` is a sentence if the last error was retryable, else empty.
    """

    result: Result
    attempts: int
    give_up_reason: str = ""


async def retry_call(
    call: Callable[[int], Awaitable[Result]],
    *,
    attempts: int,
    lane: Lane,
    wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Retried[Result]:
    """Call until there is no retryable error, or the attempts or the deadline are used up.

    `call` gets the number of the request, from 1. A transient error spends no attempt. The deadline of
    the lane counts only while its endpoint serves no call. If the next wait does not fit into the rest,
    the error is final.
    """
    requests = failed_attempts = 0
    while True:
        requests += 1
        result = await call(requests)
        error, reason = result.error, ""
        if error is None or not error.retryable:
            break
        failed_attempts += not error.transient
        left_s = lane.left_s
        failures = requests - failed_attempts if error.transient else failed_attempts
        wait_s = _compute_wait_s(error, failures, lane)
        if failed_attempts >= attempts:
            reason = f"Given up after {format_count(failed_attempts, 'attempt')}."
            break
        if wait_s >= left_s:
            reason = (
                f"Given up: the next attempt is {wait_s:.0f} s away, {lane.deadline_name} leaves "
                f"{left_s:.0f} s."
                if left_s
                else f"Given up: no call was answered for {lane.deadline_s:g} s ({lane.deadline_name})."
            )
            break
        await wait(wait_s)
    spent = failed_attempts if reason else failed_attempts + 1
    return Retried(result=result, attempts=max(1, spent), give_up_reason=reason)


def _compute_wait_s(error: AgentError, failures: int, lane: Lane) -> float:
    """Return the seconds to wait after so many failures of this kind, at least as many as the server asks for."""
    # While all calls pause, this call waits with them.
    if error.transient and lane.is_paused:
        return error.retry_after_s or 0.0
    # The wait grows exponentially. It is random, so that calls that failed at the same time are
    # not repeated at the same time.
    initial_s, longest_s = INITIAL_WAIT_S, MAX_WAIT_S
    if error.transient:
        initial_s, longest_s = TRANSIENT_WAIT_S, MAX_TRANSIENT_WAIT_S
    doubled_s = initial_s * 2.0 ** min(failures - 1, 30)  # min, because a float can overflow
    backoff_s = min(doubled_s, longest_s) * lane.pacer.rng.uniform(0.5, 1.0)
    # A server's wait is a minimum, so it is only spread upward.
    return max(backoff_s, (error.retry_after_s or 0.0) * lane.pacer.rng.uniform(1.0, 1.1))
