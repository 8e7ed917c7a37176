"""Agents that need not be asked: one that answers from what it said before, and none at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from evalkit.agents import Agent
from evalkit.cache import Cache
from evalkit.digest import digest
from evalkit.records import AgentError, AgentSpec, Output, Request
from evalkit.spans import CACHED


def agent_key(spec: AgentSpec, source_digest: str, environ: Mapping[str, str]) -> str:
    """Covers how the agent is reached, its code as far as it is known, and the variables it is given."""
    given = {name: environ.get(name) for name in spec.env}
    return digest([spec.kind, spec.args, source_digest, given])


class CachingAgent:
    """Asks an agent only what it has not answered before; an error is never kept.

    A trial keeps its own answer: the second trial of a case is another question than the first.
    """

    def __init__(self, agent: Agent, cache: Cache[Output], key: str) -> None:
        self._agent = agent
        self._cache = cache
        self._key = key

    async def answer(self, request: Request) -> Output:
        """The kept answer, or a new one, which is kept."""
        asked = replace(request, timeout_s=0.0, case_id="")
        key = digest([self._key, msgspec.to_builtins(asked)])
        kept = self._cache.find(key)
        if kept is not None:
            return replace(kept, flags=(*kept.flags, CACHED))
        output = await self._agent.answer(request)
        if output.error is None:
            self._cache.keep(key, output)
        return output


class NoAgent:
    """Stands where outputs that are there are only scored again."""

    async def answer(self, request: Request) -> Output:
        """Nobody answers."""
        message = f"no agent was to be asked about {request.case_id}."
        return Output(error=AgentError(kind="no_agent", message=message))
