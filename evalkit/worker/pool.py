"""Call the user's Python code in worker processes, which may freeze or die.

A sync function runs in the main thread of its process, one call at a time. If it freezes or dies, only
this call fails. The calls of an async function, or of one that is known to be thread-safe, share a
process. If it freezes or dies with several calls in flight, any of them may be the cause: all of them fail
with a retryable error, and from then on each process gets one call at a time. The pool never repeats
a call that has begun.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from evalkit.core.errors import InvalidInput
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.trial import AgentError
from evalkit.worker.crew import Crew, CrewStopped
from evalkit.worker.environment import build_child_environment
from evalkit.worker.launch import Launch, WorkerStartError
from evalkit.worker.process import WorkerProcess
from evalkit.worker.process_tree import kill_marked_processes
from evalkit.worker.streams import Reply

LOAD_TIMEOUT_S = 120.0
"""How long importing a target may take by default; some targets load a model at import."""

LOAD_GRACE_S = 5.0
"""How much longer than its limit a process may load: to start, and to report where it was."""


MAX_TRIES = 3
"""How many processes may end before a call that they were given has begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetSpec:
    """The Python object to call: `module:attribute`, or `./file.py:attribute` from the set's folder.

    `args` are the fields of a metric's class. `where` is the line of a user's file that names it.
    `load_timeout_s` is how long loading it may take.
    """

    kind: Literal["agent", "metric"]
    ref: str
    args: Mapping[str, Json] = field(default_factory=dict)
    where: Location | None = None
    load_timeout_s: float = LOAD_TIMEOUT_S


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolLimits:
    """How many calls run at once, and where: `processes` is the largest number of processes.

    By default these are as many as calls for a sync function, and one for a function whose calls share
    a process. With `in_threads`, the calls of a sync function share a process, each in a thread.
    """

    calls_at_once: int
    processes: int | None = None
    in_threads: bool = False


class WorkerPool:
    """The worker processes of one target.

    `description` is what a worker reports of the object it loaded: `is_async` and `source_digest` (of
    the file that defines the object), for an agent `parameters`, and for a metric `unit`,
    `higher_is_better`, `evalkit_api`, `is_class` and `fields`.
    """

    def __init__(self, launch: Launch, limits: PoolLimits) -> None:
        self.description: Mapping[str, Json] = {}
        self._launch = launch
        self._limits = limits
        self._crew: Crew
        self._started: list[WorkerProcess] = []
        self._start_count = 0
        self._slots = asyncio.Semaphore(limits.calls_at_once)
        self._is_closed = False

    async def open(self) -> None:
        """Start the first process; the others are started when there are calls for them.

        Raises:
            WorkerStartError: the process could not load the target.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        first = await self._start()
        self.description = first.description
        is_exclusive = not (self._limits.in_threads or first.description["is_async"])
        self._crew = Crew(
            self._start,
            first,
            start_s=loop.time() - started,
            calls_at_once=self._limits.calls_at_once,
            max_processes=self._limits.processes
            or (self._limits.calls_at_once if is_exclusive else 1),
            is_exclusive=is_exclusive,
        )

    def stop(self) -> None:
        """Begin no further call; those that wait for a process end with a retryable error."""
        self._crew.stop()

    async def close(self) -> None:
        """End every process, and kill what the target's calls have left running."""
        self._is_closed = True
        try:
            if self.description:
                await self._crew.close()
            await asyncio.gather(*(each.stop(kills_marked=False) for each in self._started))
        finally:  # also when interrupted
            kill_marked_processes(self._launch.mark)

    async def call(self, payload: Json, timeout_s: float, session: str = "") -> Reply:
        """Call the target once; a failure of the target is the reply's `error`, never an exception.

        `timeout_s` counts from the moment a process gets the call. Calls of one session, such as the
        turns of a conversation, go to the same process for as long as it lives.
        """
        text = _encode(payload).encode("ascii")
        async with self._slots:
            try:
                reply = await self._run(text, timeout_s, session)
            except WorkerStartError as failure:
                message = f"no new process could be started: {' '.join(failure.reasons)}"
                return _crashed(message, failure.detail)
            except CrewStopped:
                message = "the call did not begin, because the run is being stopped."
                return Reply(error=AgentError(kind="stopped", message=message, retryable=True))
        if reply.error is not None and reply.error.retryable:
            self._crew.isolate_calls(self._limits.processes or self._limits.calls_at_once)
        return reply

    async def _run(self, text: bytes, timeout_s: float, session: str) -> Reply:
        for _ in range(MAX_TRIES):
            reply = await self._crew.run(text, timeout_s, session)
            if reply is not None:
                return reply
        return _crashed("its process ended before the call began.")

    async def _start(self) -> WorkerProcess:
        if self._is_closed:
            raise WorkerStartError("the run is ending.")
        self._start_count += 1
        # The mark starts with the pool's, so that either one process or all can be killed.
        launch = replace(self._launch, mark=f"{self._launch.mark}/{self._start_count}")
        process = await WorkerProcess.start(launch, launch.setup["load_timeout_s"] + LOAD_GRACE_S)
        self._started = [known for known in self._started if not known.has_ended]
        self._started.append(process)
        return process


_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def _crashed(message: str, detail: str = "") -> Reply:
    return Reply(error=AgentError(kind="crashed", message=message, detail=detail))


@asynccontextmanager
async def open_pool(
    target: TargetSpec,
    environment: RunEnvironment,
    *,
    env: Sequence[str] = (),
    processes: int | None = None,
    in_threads: bool = False,
) -> AsyncIterator[WorkerPool]:
    """Load the target in worker processes; afterwards kill them and everything they started.

    `env` names the variables of evalkit's environment that they get in addition to the allow list.
    The run's concurrency limits the calls in flight; `PoolLimits` describes the other limits.

    Raises:
        InvalidInput: the target cannot be loaded; it lists every reason.
    """
    limits = PoolLimits(
        calls_at_once=environment.concurrency,
        processes=processes,
        in_threads=in_threads,
    )
    launch = Launch(
        setup={
            "kind": target.kind,
            "ref": target.ref,
            "args": dict(target.args),
            "base": str(environment.set_folder.absolute()),
            "root": str(environment.root.absolute()),
            "replaced_checkout": str(environment.replaced_checkout.absolute())
            if environment.replaced_checkout
            else "",
            "threads": limits.calls_at_once if in_threads else 0,
            "load_timeout_s": target.load_timeout_s,
            "records_inputs": environment.records_inputs and target.kind == "agent",
        },
        folder=environment.root,
        environ=build_child_environment(environment.environ, env),
        mark=f"{environment.run_id or 'run'}/{uuid.uuid4().hex}",
    )
    pool = WorkerPool(launch, limits)
    try:
        try:
            await pool.open()
        except WorkerStartError as failure:
            raise InvalidInput(_find_problems(target, failure)) from failure
        yield pool
    finally:
        await pool.close()


def _find_problems(target: TargetSpec, failure: WorkerStartError) -> list[Problem]:
    *reasons, last = failure.reasons
    return [
        Problem(message=f"{target.ref!r} cannot be loaded: {reason}", where=target.where)
        for reason in (*reasons, f"{last}\n{failure.detail}".rstrip())
    ]
