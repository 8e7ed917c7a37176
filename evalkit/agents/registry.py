"""The kinds of agents, and how to check, open and describe the agent of an eval set."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, cast

from evalkit.agents.arguments import raise_problems, to_problem
from evalkit.agents.variables import find_withheld_variables
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import Output, Request
from evalkit.evalset.keys import AGENT_KINDS
from evalkit.worker.user_code import suggest_near_name

# Names of modules, not modules, because each has heavy imports that only its own kind needs.
AGENTS = {kind: f"evalkit.agents.{kind}" for kind in AGENT_KINDS}
"""Every kind of agent, and the module that is an `AgentKind`."""


class Agent(Protocol):
    """The system under test, ready for calls; many calls may be in flight at once."""

    async def answer(self, request: Request) -> Output:
        """Answer one request. A failure of the agent is the output's `error`, never an exception."""


class AgentKind(Protocol):
    """The functions that the module of a kind defines."""

    def check(
        self, spec: AgentSpec, cases: Sequence[Case], environment: RunEnvironment
    ) -> Iterable[Problem]:
        """Yield everything that would prevent a call with one of the cases; may raise InvalidInput."""

    def open(
        self, spec: AgentSpec, environment: RunEnvironment
    ) -> AbstractAsyncContextManager[Agent]:
        """Start the agent, and later stop it with everything it started; may raise InvalidInput."""

    def entrypoint(self, spec: AgentSpec) -> str:
        """Describe in a few words how the agent is called, without any secret."""

    def identify_endpoint(self, spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
        """Return the URL and the key that calls are sent with, or empty texts if none are sent."""


def check_agent(
    spec: AgentSpec, cases: Sequence[Case], environment: RunEnvironment
) -> list[Problem]:
    """Return what is wrong with a spec, or with a case for this agent, without calling the agent."""
    withheld = [to_problem(spec, message) for message in find_withheld_variables(spec)]
    try:
        raise_problems(_find_kind(spec).check(spec, cases, environment))
    except InvalidInput as invalid:
        return [*withheld, *invalid.problems]
    return withheld


def open_agent(spec: AgentSpec, environment: RunEnvironment) -> AbstractAsyncContextManager[Agent]:
    """Return a context that starts the agent for a run, and stops it afterwards.

    Raises:
        InvalidInput: the agent cannot be started.
    """
    return _find_kind(spec).open(spec, environment)


def describe_entrypoint(spec: AgentSpec) -> str:
    """Return how the agent is called, for people: `support_agent:answer`.

    Raises:
        InvalidInput: `check_agent` would find a problem in the spec.
    """
    return _find_kind(spec).entrypoint(spec)


def identify_endpoint(spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL and the key that the agent is called with; empty texts if it is in no other place.

    Agents and judges with the same URL and key share their rate limits.

    Raises:
        InvalidInput: `check_agent` would find a problem in the spec.
    """
    return _find_kind(spec).identify_endpoint(spec, environ)


def _find_kind(spec: AgentSpec) -> AgentKind:
    if spec.kind not in AGENTS:
        advice = suggest_near_name(spec.kind, AGENTS) or f" Kinds: {', '.join(AGENTS)}."
        raise InvalidInput.single(f"unknown kind of agent {spec.kind!r}.{advice}", spec.where)
    return cast("AgentKind", importlib.import_module(AGENTS[spec.kind]))
