"""Call an agent only while its money lasts, and start no call after a stop was requested."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from evalkit.agents.cached_agent import answer_with_inputs
from evalkit.agents.cost_budget import CostBudget
from evalkit.agents.registry import Agent
from evalkit.core.eval_set import AgentSpec
from evalkit.core.literals import Json
from evalkit.core.trial import Output, Request
from evalkit.runner.agent_prices import make_pricer
from evalkit.runner.records import Plan
from evalkit.runner.signals import CallsStopped, StopRequest


@runtime_checkable
class StoppableAgent(Protocol):
    """An agent whose calls wait for more than the run knows of, such as a process of their own."""

    def stop(self) -> None:
        """Begin no further call; one that waits ends with a retryable error."""


class GuardedAgent:
    """The innermost wrapper of an agent: each of its calls is one real call.

    `price` returns the cost of an answer in USD, or None if it is not known. Without it, only a cost that
    the agent reports counts.
    """

    def __init__(
        self,
        agent: Agent,
        budget: CostBudget,
        price: Callable[[Output], float | None] | None,
        stop: StopRequest,
    ) -> None:
        self._agent = agent
        self._budget = budget
        self._price = price
        self._stop = stop

    async def answer(self, request: Request) -> Output:
        """Call the agent once, as soon as the budget admits it; raise what `answer_with_inputs` raises."""
        output, _ = await self.answer_with_inputs(request)
        return output

    async def answer_with_inputs(self, request: Request) -> tuple[Output, tuple[Json, ...]]:
        """Call the agent once, as soon as the budget admits it; return also what it has read.

        Raises:
            CostLimitReached: the call does not fit into the budget.
            CallsStopped: a stop was requested before the call, or the call would have to be repeated.
        """
        async with self._budget.pay() as call:
            if self._stop.requested.is_set():
                raise CallsStopped
            with self._stop.busy():
                output, inputs = await answer_with_inputs(self._agent, request)
                if self._price is not None:
                    # In a thread, because prices are slow to load.
                    cost_usd = await asyncio.to_thread(self._price, output)
                    output = replace(output, cost_usd=cost_usd)
            call.cost_usd, call.is_answered = output.cost_usd, output.error is None
        if self._stop.requested.is_set() and output.error is not None and output.error.retryable:
            raise CallsStopped
        return output, inputs


def guard_agent(agent: Agent, spec: AgentSpec, plan: Plan, stop: StopRequest) -> Agent:
    """Return an agent of a run, limited by the run's budget and by requests to stop.

    Recorded answers are not calls: they cost nothing now.
    """
    if spec.kind == "recorded":
        return agent
    is_limited = spec.max_cost_usd is not None or plan.settings.max_cost_usd is not None
    if isinstance(agent, StoppableAgent):
        stop.on_request(agent.stop)
    needs_price = is_limited or bool(spec.prices)
    price = make_pricer(spec) if needs_price else None
    return GuardedAgent(agent, plan.agent_budget, price, stop)
