"""The kinds of agents that are chat models: what `AgentKind` asks for, from the arguments of each kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.chat_agent import ChatAgent, ChatAgentArguments
from evalkit.agents.http_headers import find_header_problems, find_unset_variables
from evalkit.agents.network_errors import get_host
from evalkit.agents.openai_client import MISSING_TRANSPORT_MESSAGE, find_body_problems
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatKind:
    """An `AgentKind` whose agent is a chat model.

    `shape` is the dataclass of its arguments; a value in their place is its `model`. `reserved` are the
    keys that `extra` may not have.
    """

    shape: type[ChatAgentArguments]
    reserved: Sequence[str]

    def check(
        self,
        spec: AgentSpec,
        cases: Sequence[Case],  # noqa: ARG002 - a model accepts every case
        environment: RunEnvironment,
    ) -> Iterator[Problem]:
        """Yield wrong arguments and a missing key."""
        arguments = self._read(spec)
        environ = environment.environ
        for message in (
            *find_body_problems(arguments, self.reserved),
            *arguments.resolve_endpoint(environ).find_problems(),
            *find_unset_variables(arguments.headers.values(), environ),
            *find_header_problems(arguments.headers, environ),
        ):
            yield to_problem(spec, message)

    def _read(self, spec: AgentSpec) -> ChatAgentArguments:
        return read_arguments(spec, self.shape, shorthand="model")

    def entrypoint(self, spec: AgentSpec) -> str:
        """Return the model, and its host unless it is the default one."""
        arguments = self._read(spec)
        host = get_host(arguments.base_url or "")
        return f"{arguments.model} at {host}" if host else arguments.model

    def identify_endpoint(self, spec: AgentSpec, environ: Mapping[str, str]) -> tuple[str, str]:
        """Return the base URL and the key."""
        endpoint = self._read(spec).resolve_endpoint(environ)
        return endpoint.url, endpoint.key

    @asynccontextmanager
    async def open(self, spec: AgentSpec, environment: RunEnvironment) -> AsyncIterator[ChatAgent]:
        """Yield the agent with one client for the whole run.

        Raises:
            InvalidInput: `check` finds a problem, or the client lacks its aiohttp transport.
        """
        raise_problems(self.check(spec, (), environment))
        arguments = self._read(spec)
        try:
            client = arguments.connect(environment.environ)
        except RuntimeError as missing:
            raise InvalidInput([to_problem(spec, MISSING_TRANSPORT_MESSAGE)]) from missing
        try:
            yield ChatAgent(arguments, client)
        finally:
            await client.close()
