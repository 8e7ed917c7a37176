"""What an agent is to evalkit, and the kinds of agents there are: a spec in, an agent to ask out."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, cast

from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request
from evalkit.evalset.keys import AGENT_KINDS

# Names of modules, not modules: each brings heavy imports that only its own kind needs.
AGENTS = {kind: f"evalkit.agents.{kind}" for kind in AGENT_KINDS}
"""Every kind of agent, and the module that is an `AgentKind`."""


class Agent(Protocol):
    """The system under test, ready to be asked; many calls may be under way at once."""

    async def answer(self, request: Request) -> Output:
        """Ask once. Trouble of the agent is the output's `error`, never an exception."""


class AgentKind(Protocol):
    """What the module of a kind offers."""

    def check(
        self, spec: AgentSpec, cases: Sequence[Case], surroundings: RunEnvironment
    ) -> list[Problem]:
        """Find everything that would keep the agent from being asked about one of the cases."""

    def open(
        self, spec: AgentSpec, surroundings: RunEnvironment
    ) -> AbstractAsyncContextManager[Agent]:
        """Start the agent, and stop it afterwards with all that it started; may raise InvalidInput."""

    def entrypoint(self, spec: AgentSpec) -> str:
        """Say in a few words how the agent is reached; holds no secret."""


def check_agent(
    spec: AgentSpec, cases: Sequence[Case], surroundings: RunEnvironment
) -> list[Problem]:
    """Find what is wrong with a spec, or with a case for this agent, without asking the agent."""
    if spec.kind not in AGENTS:
        return [_unknown_kind(spec)]
    return _find_kind(spec).check(spec, cases, surroundings)


@asynccontextmanager
async def open_agent(spec: AgentSpec, surroundings: RunEnvironment) -> AsyncIterator[Agent]:
    """Start the agent for the length of a run.

    Raises:
        InvalidInput: it cannot be started.
    """
    async with _find_kind(spec).open(spec, surroundings) as agent:
        yield agent


def describe_entrypoint(spec: AgentSpec) -> str:
    """How the agent is reached, for people: `support_agent:answer`.

    Raises:
        InvalidInput: the spec is not one that `check_agent` finds no problem in.
    """
    return _find_kind(spec).entrypoint(spec)


def _find_kind(spec: AgentSpec) -> AgentKind:
    if spec.kind not in AGENTS:
        raise InvalidInput([_unknown_kind(spec)])
    return cast("AgentKind", importlib.import_module(AGENTS[spec.kind]))


def _unknown_kind(spec: AgentSpec) -> Problem:
    near = difflib.get_close_matches(spec.kind, AGENTS, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else f"Kinds: {', '.join(AGENTS)}."
    return Problem(message=f"unknown kind of agent {spec.kind!r}. {advice}", where=spec.where)
