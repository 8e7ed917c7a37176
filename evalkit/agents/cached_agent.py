"""Answer calls from the cache while everything that the earlier answer followed from is unchanged."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import msgspec

from evalkit import __version__
from evalkit.agents.inputs import InputManifest, InputVerifier, UnstableInputs
from evalkit.agents.registry import Agent
from evalkit.core.eval_set import AgentSpec
from evalkit.core.literals import Json
from evalkit.core.serialization import digest
from evalkit.core.spans import CACHE_GAP, CACHED
from evalkit.core.trial import Output, Request
from evalkit.store.cache import Cache
from evalkit.worker.installed import list_distributions

ENTRY_VERSION = 3
"""Raise it when an entry has another form or another meaning."""

MAX_KEPT_ANSWERS = 8
"""The answers to one request that are kept, each for other inputs, as of two branches."""

INTERPRETER_PREFIXES = ("PYTHON", "LC_", "LANG", "TZ")
"""Variables that change what a program does, although the eval set does not name them."""


@runtime_checkable
class RecordedAgent(Protocol):
    """An agent that reports what each answer followed from."""

    async def answer_with_inputs(self, request: Request) -> tuple[Output, tuple[Json, ...]]:
        """Answer one request; see `evalkit.worker.input_log` for what is reported."""


async def answer_with_inputs(agent: Agent, request: Request) -> tuple[Output, tuple[Json, ...]]:
    """Call an agent once; return the output, and what it followed from if the agent reports that."""
    if isinstance(agent, RecordedAgent):
        return await agent.answer_with_inputs(request)
    return await agent.answer(request), ()


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAnswer:
    """An answer, and what it followed from besides the request."""

    output: Output
    inputs: InputManifest


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAnswers:
    """The answers to one request, the newest last."""

    answers: tuple[KeptAnswer, ...] = field(default=())


def compute_agent_key(spec: AgentSpec, code_digest: str, environ: Mapping[str, str]) -> str:
    """Return a digest of how the agent is called, its known code, its variables, and what is installed."""
    given = {name: environ.get(name) for name in spec.env}
    given |= {name: environ[name] for name in environ if name.startswith(INTERPRETER_PREFIXES)}
    installed = [list_distributions(folder) for folder in sys.path]
    versions = [ENTRY_VERSION, __version__, sys.version, installed]
    return digest([spec.kind, spec.args, code_digest, given, versions])


class CachingAgent:
    """Calls an agent only for requests without a current answer in the cache; errors are never cached.

    Each trial has its own entry, because the second trial of a case is a different request. `gaps` name
    what no entry covers. `redact` removes secrets from what is stored.
    """

    def __init__(  # noqa: PLR0913 - tests replace each of these
        self,
        agent: Agent,
        cache: Cache[KeptAnswers],
        key: str,
        verifier: InputVerifier,
        gaps: tuple[str, ...] = (),
        *,
        redact: Callable[[Output], Output],
    ) -> None:
        self._agent = agent
        self._cache = cache
        self._key = key
        self._verifier = verifier
        self._gaps = gaps
        self._redact = redact

    @property
    def wrapped(self) -> Agent:
        """The agent that is called."""
        return self._agent

    async def answer(self, request: Request) -> Output:
        """Return the cached answer, or call the agent and cache its answer."""
        # The answer does not depend on the timeout.
        question = msgspec.to_builtins(replace(request, timeout_s=0.0))
        key = digest([self._key, question])
        kept = self._cache.get(key) or KeptAnswers()
        for answer in reversed(kept.answers):
            if self._verifier.is_current(answer.inputs):
                gaps = [f"{CACHE_GAP}{gap}" for gap in (*self._gaps, *answer.inputs.gaps)]
                return replace(answer.output, flags=(*answer.output.flags, CACHED, *gaps))
        output, log = await answer_with_inputs(self._agent, request)
        # The server may have forgotten a session by the next run.
        if output.error is None and output.session is None:
            await self._keep(key, kept, output, log)
        return output

    async def _keep(
        self, key: str, kept: KeptAnswers, output: Output, log: tuple[Json, ...]
    ) -> None:
        try:
            # In a thread, because it may read large files.
            inputs = await asyncio.to_thread(self._verifier.build, log)
        except UnstableInputs as unstable:
            names = ", ".join(unstable.paths[:3])
            self._cache.warnings.setdefault(
                "inputs",
                f"--cache: the agent changes what it reads ({names}), so not every answer is kept.",
            )
            return
        others = [answer for answer in kept.answers if answer.inputs != inputs]
        newest = KeptAnswer(output=self._redact(output), inputs=inputs)
        self._cache.put(key, KeptAnswers(answers=(*others, newest)[-MAX_KEPT_ANSWERS:]))
