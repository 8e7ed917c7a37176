"""Open an agent whose calls wait for the limits of its endpoint."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from evalkit.agents.cached_agent import answer_with_inputs
from evalkit.agents.lane import Lane, NoPermit
from evalkit.agents.pacer import Pacer, find_pacer
from evalkit.agents.rate_limits import TokenEstimate
from evalkit.agents.registry import Agent, identify_endpoint, open_agent
from evalkit.core.eval_set import AgentSpec
from evalkit.core.literals import Json
from evalkit.core.run import RunEnvironment
from evalkit.core.spans import Usage
from evalkit.core.trial import Output, Request


class PacedAgent:
    """Makes each call as soon as the limits of the agent and of its endpoint allow it.

    The error of a call that its endpoint refused for now is `transient`.
    """

    def __init__(
        self, agent: Agent, lane: Lane, estimate: TokenEstimate, *, has_endpoint: bool
    ) -> None:
        self.lane = lane
        self._has_endpoint = has_endpoint
        self._agent = agent
        self._estimate = estimate

    async def answer(self, request: Request) -> Output:
        """Wait for a permit, and call the agent once."""
        output, _ = await self.answer_with_inputs(request)
        return output

    async def answer_with_inputs(self, request: Request) -> tuple[Output, tuple[Json, ...]]:
        """Wait for a permit, and call the agent once; return also what it has read."""
        call = (request.case_id, request.trial, len(request.messages))
        characters = sum(len(turn.content) for turn in request.messages)
        try:
            async with self.lane.permit(call, self._estimate.estimate(characters)) as permit:
                output, inputs = await answer_with_inputs(self._agent, request)
                usage = output.usage or Usage()
                used = self._estimate.add(usage.input_tokens, usage.output_tokens)
                error = output.error
                if error is not None and error.kind == "timeout" and self._has_endpoint:
                    # A reply that does not come may be lost on the way. A hung program hangs again.
                    error = replace(error, retryable=True)
                error = permit.record(error, used)
        except NoPermit as refused:
            return Output(error=refused.error), ()
        return replace(output, error=error), inputs


@asynccontextmanager
async def open_paced_agent(
    spec: AgentSpec, environment: RunEnvironment, guard: Callable[[Agent, AgentSpec], Agent]
) -> AsyncIterator[PacedAgent]:
    """Start the agent for a run, and stop it afterwards.

    `guard` wraps the agent itself: what it refuses has had its permit already.

    Raises:
        InvalidInput: the agent cannot be started.
    """
    async with open_agent(spec, environment) as agent:
        url, key = identify_endpoint(spec, environment.environ)
        # Without an endpoint nothing is learned: only the limits of the set apply.
        pacer = find_pacer(environment.pacers, url, key) if url else Pacer(ramp_calls=math.inf)
        lane = Lane(
            pacer,
            deadline_s=environment.retry_deadline_s,
            deadline_name="retry_deadline_s",
            rate=spec.rate,
            tokens_per_min=spec.tokens_per_min if url else None,
        )
        limit = spec.args.get("max_tokens")
        max_output = float(limit) if isinstance(limit, int) else None
        yield PacedAgent(
            guard(agent, spec), lane, TokenEstimate(max_output), has_endpoint=bool(url)
        )
