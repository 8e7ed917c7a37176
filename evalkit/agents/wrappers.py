"""Wrap an agent: retry its calls, or answer them from the cache."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import msgspec

from evalkit.agents.lane import Lane
from evalkit.agents.paced_agent import PacedAgent
from evalkit.agents.pacer import Pacer
from evalkit.agents.registry import Agent
from evalkit.agents.retry import retry_call
from evalkit.core.eval_set import AgentSpec
from evalkit.core.serialization import digest
from evalkit.core.spans import CACHED
from evalkit.core.trial import AgentError, Output, Request
from evalkit.store.cache import Cache


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
    if isinstance(agent, PacedAgent | CachingAgent) and agent.lane is not None:
        return agent.lane
    return Lane(Pacer(ramp_calls=math.inf), deadline_s=deadline_s)


def compute_agent_key(spec: AgentSpec, source_digest: str, environ: Mapping[str, str]) -> str:
    """Return a digest of how the agent is called, its known code, and the variables it gets."""
    given = {name: environ.get(name) for name in spec.env}
    return digest([spec.kind, spec.args, source_digest, given])


class CachingAgent:
    """Calls an agent only for requests that are not in the cache; errors are never cached.

    Each trial has its own entry, because the second trial of a case is a different request.
    """

    def __init__(self, agent: Agent, cache: Cache[Output], key: str) -> None:
        self.lane = agent.lane if isinstance(agent, PacedAgent) else None
        self._agent = agent
        self._cache = cache
        self._key = key

    async def answer(self, request: Request) -> Output:
        """Return the cached answer, or call the agent and cache its answer."""
        # The answer does not depend on timeout and case id, so a renamed case finds its cached answer.
        question = replace(request, timeout_s=0.0, case_id="")
        key = digest([self._key, msgspec.to_builtins(question)])
        cached = self._cache.get(key)
        if cached is not None:
            return replace(cached, flags=(*cached.flags, CACHED))
        output = await self._agent.answer(request)
        if output.error is None:
            self._cache.put(key, output)
        return output


class NoAgent:
    """Replaces the agent when stored outputs are rescored."""

    async def answer(self, request: Request) -> Output:
        """Return an error."""
        message = f"stored outputs are scored, so no agent answers case {request.case_id!r}."
        return Output(error=AgentError(kind="no_agent", message=message))
