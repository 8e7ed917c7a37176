"""The agent kind `python`: the user's Python function, called in worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.placeholders import to_messages
from evalkit.agents.reply import to_output
from evalkit.core.eval_set import AgentSpec, Case
from evalkit.core.literals import Json
from evalkit.core.location import Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.source_files import UnreadableFile, read_file, resolve_inside
from evalkit.core.trial import Output, Request
from evalkit.trace.normalizer import add_worker_spans
from evalkit.worker.environment import find_name_problems
from evalkit.worker.pool import TargetSpec, WorkerPool, open_pool


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonArguments:
    """The arguments under `python:`; text in their place is `entrypoint`.

    `entrypoint` is `package.module:function`, or `./file.py:function` from the eval set's folder. The
    function may be an async function, an object with `__call__` or a class of such objects. More than
    one of `processes` only helps CPU-bound code: calls that wait share a process.
    """

    entrypoint: str
    processes: int = 1


class PythonAgent:
    """Calls the function in its worker processes."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    async def answer(self, request: Request) -> Output:
        """Call the function once; an exception or a crash becomes the output's error."""
        reply = await self._pool.call(to_payload(request), request.timeout_s)
        if reply.error is not None:
            output = Output(error=reply.error, latency_s=reply.duration_s)
        else:
            output = to_output(reply.value, reply.duration_s)
        # Also after a failure: the spans show what the call did before it.
        return add_worker_spans(output, reply.span_payload)


def check(
    spec: AgentSpec,
    cases: Sequence[Case],  # noqa: ARG001 - a function accepts every case
    environment: RunEnvironment,
) -> Iterator[Problem]:
    """Yield wrong arguments and a missing file; import nothing."""
    for message in find_name_problems(spec.env, environment.environ):
        yield Problem(message=message, where=spec.where)
    arguments = read_arguments(spec, PythonArguments, shorthand="entrypoint")
    message = _find_reference_problem(arguments.entrypoint, environment)
    if message:
        yield to_problem(spec, message)
    if arguments.processes < 1:
        yield to_problem(spec, f"'processes' is {arguments.processes}. Give 1 or more.")


def entrypoint(spec: AgentSpec) -> str:
    """Return the reference as the user wrote it: `support_agent:answer`."""
    return read_arguments(spec, PythonArguments, shorthand="entrypoint").entrypoint


def identify_endpoint(
    spec: AgentSpec,  # noqa: ARG001 - every kind takes both
    environ: Mapping[str, str],  # noqa: ARG001
) -> tuple[str, str]:
    """Return empty texts: evalkit sends no request."""
    return "", ""


@asynccontextmanager
async def open(  # noqa: A001 - a function of AgentKind
    spec: AgentSpec, environment: RunEnvironment
) -> AsyncIterator[PythonAgent]:
    """Load the function and yield the agent; afterwards kill everything it started.

    Raises:
        InvalidInput: `check` finds a problem, or the function cannot be imported or called.
    """
    raise_problems(check(spec, (), environment))
    arguments = read_arguments(spec, PythonArguments, shorthand="entrypoint")
    target = TargetSpec(kind="agent", ref=arguments.entrypoint, where=spec.where)
    async with open_pool(target, environment, env=spec.env, processes=arguments.processes) as pool:
        yield PythonAgent(pool)


def _find_reference_problem(ref: str, environment: RunEnvironment) -> str:
    """Return why a reference cannot name a function, or an empty text; import nothing."""
    place, _, attribute = ref.rpartition(":")
    if not place or not _is_dotted_name(attribute):
        return (
            f"{ref!r} does not say what to call. Write 'module:function' or './file.py:function'."
        )
    if place.endswith(".py"):
        try:
            read_file(resolve_inside(place, environment.set_folder, environment.root))
        except UnreadableFile as error:
            return f"{place} {error}"
    elif not _is_dotted_name(place):
        return f"{place!r} is neither a module nor a Python file. Write './file.py:{attribute}'."
    return ""


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def to_payload(request: Request) -> Json:
    """Return a request in the form that the worker reads."""
    return {
        "text": request.text,
        "messages": to_messages(request.messages),
        "case_id": request.case_id,
        "trial": request.trial,
        "metadata": dict(request.metadata),
        "seed": request.seed,
        "is_conversation": request.is_conversation,
    }
