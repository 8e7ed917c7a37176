"""The agent kind `python`: the user's Python function, called in worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from evalkit.agents.arguments import raise_problems, read_arguments, to_problem
from evalkit.agents.local_kind import identify_no_endpoint
from evalkit.agents.placeholders import to_messages
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
from evalkit.worker.pool import LOAD_TIMEOUT_S, TargetSpec, WorkerPool, open_pool

MAX_LOAD_TIMEOUT_S = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonArguments:
    """The arguments under `python:`; text in their place is `entrypoint`.

    `entrypoint` is `package.module:function`, or `./file.py:function` from the eval set's folder. The
    function may be an async function, an object with `__call__` or a class of such objects.
    `processes` is the largest number of worker processes: by default the concurrency for a sync
    function, which runs one call at a time in each process, and 1 for an async function, whose calls
    share a process. With `threads`, the calls of a sync function share a process as well. Loading the
    function may take `load_timeout_s`.
    """

    entrypoint: str
    processes: int | None = None
    threads: bool = False
    load_timeout_s: float = LOAD_TIMEOUT_S


class PythonAgent:
    """Calls the function in its worker processes."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool

    def stop(self) -> None:
        """Begin no further call, also none that waits for a process."""
        self._pool.stop()

    async def answer(self, request: Request) -> Output:
        """Call the function once; an exception or a crash becomes the output's error."""
        output, _ = await self.answer_with_inputs(request)
        return output

    async def answer_with_inputs(self, request: Request) -> tuple[Output, tuple[Json, ...]]:
        """Call the function once; return the output, and what its process has read so far."""
        # An agent may remember earlier turns, by the case and the trial.
        session = f"{request.trial} {request.case_id}" if request.is_conversation else ""
        reply = await self._pool.call(to_payload(request), request.timeout_s, session)
        if reply.error is not None:
            output = Output(error=reply.error, latency_s=reply.duration_s)
        else:
            output = to_output(reply.value, reply.duration_s)
            output = replace(output, first_token_s=reply.first_piece_s)
        # Also after a failure: the spans show what the call did before it.
        return add_worker_spans(output, reply.span_payload), reply.inputs


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
    if arguments.processes is not None and arguments.processes < 1:
        yield to_problem(spec, f"'processes' is {arguments.processes}. Give 1 or more.")
    if not 0 < arguments.load_timeout_s <= MAX_LOAD_TIMEOUT_S:
        given = f"{arguments.load_timeout_s:g}"
        most = f"{MAX_LOAD_TIMEOUT_S:,.0f}"
        yield to_problem(spec, f"'load_timeout_s' is {given}. Give seconds, up to {most}.")


def entrypoint(spec: AgentSpec) -> str:
    """Return the reference as the user wrote it: `support_agent:answer`."""
    return read_arguments(spec, PythonArguments, shorthand="entrypoint").entrypoint


identify_endpoint = identify_no_endpoint


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
    target = TargetSpec(
        kind="agent",
        ref=arguments.entrypoint,
        where=spec.where,
        load_timeout_s=arguments.load_timeout_s,
    )
    async with open_pool(
        target,
        environment,
        env=spec.env,
        processes=arguments.processes,
        in_threads=arguments.threads,
    ) as pool:
        if arguments.threads and pool.description["is_async"]:
            message = (
                "'threads' is for sync functions, and the function is async. Remove 'threads'."
            )
            raise InvalidInput([to_problem(spec, message)])
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
