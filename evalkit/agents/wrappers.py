"""Wrap an agent: retry its calls, or replace it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext

from evalkit.agents.registry import Agent
from evalkit.agents.retry import retry_call
from evalkit.core.trial import AgentError, Output, Request


class RetryingAgent:
    """Retries the calls of one trial after retryable errors.

    Each call has `attempts`. All waits of the trial take at most `deadline_s` together; the time of the
    calls themselves does not count. `max_attempts_used` is the largest number of attempts that a call
    has taken so far.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        attempts: int,
        deadline_s: float,
        sleep: Callable[[float], Awaitable[object]],
        rng: random.Random,
    ) -> None:
        self.max_attempts_used = 1
        self._agent = agent
        self._attempts = attempts
        self._budget = _WaitBudget(deadline_s, sleep)
        self._rng = rng

    async def answer(self, request: Request) -> Output:
        """Return an answer, an error that is not retryable, or the error of the last attempt."""
        retried = await retry_call(
            lambda _: self._agent.answer(request),
            attempts=self._attempts,
            budget=self._budget,
            rng=self._rng,
        )
        self.max_attempts_used = max(self.max_attempts_used, retried.attempts)
        return retried.result


class _WaitBudget:
    """A `TimeBudget` of which only the waits of one trial use up time."""

    def __init__(self, deadline_s: float, sleep: Callable[[float], Awaitable[object]]) -> None:
        self.remaining_s = deadline_s
        self._sleep = sleep

    def count_time(self) -> AbstractContextManager[None]:
        return nullcontext()

    async def wait(self, wait_s: float) -> None:
        self.remaining_s -= wait_s
        await self._sleep(wait_s)


class NoAgent:
    """Replaces the agent when stored outputs are rescored."""

    async def answer(self, request: Request) -> Output:
        """Return an error."""
        message = f"stored outputs are scored, so no agent answers case {request.case_id!r}."
        return Output(error=AgentError(kind="no_agent", message=message))
