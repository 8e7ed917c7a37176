"""Wrap an agent: retry its calls, or replace it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from evalkit.agents.cached_agent import CachingAgent
from evalkit.agents.lane import Lane
from evalkit.agents.paced_agent import PacedAgent
from evalkit.agents.pacer import Pacer
from evalkit.agents.registry import Agent
from evalkit.agents.retry import retry_call
from evalkit.core.trial import AgentError, Output, Request


class RetryingAgent:
    """Retries the calls of one trial after retryable errors, within the deadline of the agent's lane.

    Each call has `attempts`. `max_attempts_used` is the largest number of attempts that a call has taken
    so far.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        attempts: int,
        lane: Lane,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.max_attempts_used = 1
        self._agent = agent
        self._attempts = attempts
        self._lane = lane
        self._wait = wait

    async def answer(self, request: Request) -> Output:
        """Return an answer, an error that is not retryable, or the error of the last attempt."""
        retried = await retry_call(
            lambda _: self._agent.answer(request),
            attempts=self._attempts,
            lane=self._lane,
            wait=self._wait,
        )
        self.max_attempts_used = max(self.max_attempts_used, retried.attempts)
        output, reason = retried.result, retried.give_up_reason
        if output.error is None or not (reason and output.error.transient):
            return output
        message = f"{output.error.message} {reason}".lstrip()
        return replace(output, error=replace(output.error, message=message))


def find_lane(agent: Agent, deadline_s: float) -> Lane:
    """Return the lane of an agent; one without limits and with this deadline for any other agent."""
    paced = agent.wrapped if isinstance(agent, CachingAgent) else agent
    if isinstance(paced, PacedAgent):
        return paced.lane
    return Lane(Pacer(ramp_calls=math.inf), deadline_s=deadline_s)


class NoAgent:
    """Replaces the agent when stored outputs are rescored."""

    async def answer(self, request: Request) -> Output:
        """Return an error."""
        message = f"stored outputs are scored, so no agent answers case {request.case_id!r}."
        return Output(error=AgentError(kind="no_agent", message=message))
