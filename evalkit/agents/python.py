"""An agent that is Python code: a function of the user's, called in worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from evalkit.agents.arguments import read_arguments
from evalkit.agents.reply import to_output
from evalkit.core.errors import InvalidInput
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
    """What stands under `python:`; text in its place is `entrypoint`.

    `entrypoint` is `package.module:function`, or `./file.py:function` from the eval set's folder. It
    may be an async function, an object with `__call__` or a class of such objects. More than one
    process pays only for code that computes for long itself: calls that wait need no process each.
    """

    entrypoint: str
    processes: int = 1


class PythonAgent:
    """The function, in its worker processes."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    async def answer(self, request: Request) -> Output:
        """Call the function once; what it raises, or does to its process, is the output's error."""
        reply = await self._pool.call(to_payload(request), request.timeout_s)
        if reply.error is not None:
            output = Output(error=reply.error, latency_s=reply.duration_s)
        else:
            output = to_output(reply.value, reply.duration_s)
        return add_worker_spans(output, reply.span_payload)


def check(spec: AgentSpec, cases: Sequence[Case], surroundings: RunEnvironment) -> list[Problem]:  # noqa: ARG001 - every case suits a function
    """Find wrong arguments and a file that is not there; nothing is imported to see."""
    messages = find_name_problems(spec.env, surroundings.environ)
    problems = [Problem(message=message, where=spec.where) for message in messages]
    try:
        arguments = read_arguments(spec, PythonArguments, shorthand="entrypoint")
    except InvalidInput as invalid:
        return [*problems, *invalid.problems]
    message = _find_reference_problem(arguments.entrypoint, surroundings)
    if message:
        problems.append(Problem(message=f"python: {message}", where=spec.where))
    if arguments.processes < 1:
        message = f"python: 'processes' is {arguments.processes}. Give 1 or more."
        problems.append(Problem(message=message, where=spec.where))
    return problems


def entrypoint(spec: AgentSpec) -> str:
    """The reference as the user wrote it: `support_agent:answer`."""
    return read_arguments(spec, PythonArguments, shorthand="entrypoint").entrypoint


@asynccontextmanager
async def open(  # noqa: A001 - every kind of agent has a check, an open and an entrypoint
    spec: AgentSpec, surroundings: RunEnvironment
) -> AsyncIterator[PythonAgent]:
    """Load the function and yield the agent; afterwards nothing that it started is alive.

    Raises:
        InvalidInput: what `check` would find, or the function cannot be imported or called.
    """
    problems = check(spec, (), surroundings)
    if problems:
        raise InvalidInput(problems)
    arguments = read_arguments(spec, PythonArguments, shorthand="entrypoint")
    target = TargetSpec(kind="agent", ref=arguments.entrypoint, where=spec.where)
    async with open_pool(target, surroundings, env=spec.env, processes=arguments.processes) as pool:
        yield PythonAgent(pool)


def _find_reference_problem(ref: str, surroundings: RunEnvironment) -> str:
    """Why a reference cannot lead to a function, as far as can be told without importing."""
    place, _, attribute = ref.rpartition(":")
    if not place or not _is_dotted_name(attribute):
        return (
            f"{ref!r} does not say what to call. Write 'module:function' or './file.py:function'."
        )
    if place.endswith(".py"):
        try:
            read_file(resolve_inside(place, surroundings.set_folder, surroundings.root))
        except UnreadableFile as error:
            return f"{place} {error}"
    elif not _is_dotted_name(place):
        return f"{place!r} is neither a module nor a Python file. Write './file.py:{attribute}'."
    return ""


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def to_payload(request: Request) -> Json:
    """A request as the worker reads it."""
    return {
        "text": request.text,
        "messages": [{"role": turn.role, "content": turn.content} for turn in request.messages],
        "case_id": request.case_id,
        "trial": request.trial,
        "metadata": dict(request.metadata),
        "seed": request.seed,
        "is_conversation": request.is_conversation,
    }
