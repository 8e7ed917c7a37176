"""Call the user's Python code in worker processes, which may freeze or die.

A worker runs many calls at once. If it freezes or dies with several calls in flight, each of them is
repeated alone in a process of its own, so that only the call that caused the failure fails. A call
that has been answered is never repeated.
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
from evalkit.worker.environment import build_child_environment
from evalkit.worker.process import Launch, WorkerProcess, WorkerStartError
from evalkit.worker.process_tree import kill_marked_processes
from evalkit.worker.streams import Reply

LOAD_TIMEOUT_S = 120.0
"""How long importing a target may take by default; some targets load a model at import."""

LOAD_GRACE_S = 5.0
"""How much longer than its limit a process may load: to start, and to report where it was."""


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


class WorkerPool:
    """The worker processes of one target.

    `description` is what a worker reports of the object it loaded: `is_async` and `source_digest` (of
    the file that defines the object), for an agent `parameters`, and for a metric `unit`,
    `higher_is_better`, `evalkit_api`, `is_class` and `fields`.
    """

    def __init__(self, launch: Launch, processes: int, calls_at_once: int) -> None:
        self.description: Mapping[str, Json] = {}
        self._launch = launch
        self._max_processes = processes
        self._serving: list[WorkerProcess] = []
        self._started: list[WorkerProcess] = []
        self._start_count = 0
        self._slots = asyncio.Semaphore(calls_at_once)
        self._starting = asyncio.Lock()
        # Each call that is repeated alone starts a process; this limits them to the usual number.
        self._quarantine = asyncio.Semaphore(processes)
        self._is_closed = False

    async def open(self) -> None:
        """Start the first process; the others are started when there are calls for them.

        Raises:
            WorkerStartError: the process could not load the target.
        """
        first = await self._start()
        self.description = first.description
        self._serving.append(first)

    async def close(self) -> None:
        """End every process, and kill what the target's calls have left running."""
        self._is_closed = True
        try:
            await asyncio.gather(*(process.stop() for process in self._started))
        except BaseException:  # interrupted: kill at once
            kill_marked_processes(self._launch.mark)
            raise

    async def call(self, payload: Json, timeout_s: float) -> Reply:
        """Call the target once; a failure of the target is the reply's `error`, never an exception.

        `timeout_s` counts from the moment a process gets the call.
        """
        text = _encode(payload).encode("ascii")
        async with self._slots:
            try:
                process = await self._acquire_process()
                reply = await process.run(text, timeout_s)
                return await self._call_alone(text, timeout_s) if reply is None else reply
            except WorkerStartError as failure:
                message = f"no new process could be started: {' '.join(failure.reasons)}"
                return _crashed(message, failure.detail)

    async def _call_alone(self, text: bytes, timeout_s: float) -> Reply:
        """Repeat a call in a process of its own, where no other call can cause a failure."""
        async with self._quarantine:
            process = await self._start()
            try:
                reply = await process.run(text, timeout_s)
            finally:
                await process.stop()
        return reply or _crashed("its process ended before the call began.")

    async def _acquire_process(self) -> WorkerProcess:
        """Start a process while there are too few, or else return the one with the fewest calls.

        While one call waits for a new process, the other calls go to the existing ones.
        """
        serving = self._drop_ended()
        if not serving or (len(serving) < self._max_processes and not self._starting.locked()):
            async with self._starting:
                # Check again: another call may have started one while this call waited.
                if len(self._drop_ended()) < self._max_processes:
                    process = await self._start()
                    self._serving.append(process)  # not before: the list may have been replaced
                    return process
            serving = self._serving
        return min(serving, key=lambda process: process.load)

    def _drop_ended(self) -> list[WorkerProcess]:
        self._serving = [process for process in self._serving if process.is_accepting]
        return self._serving

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
    processes: int = 1,
    calls_at_once: int | None = None,
) -> AsyncIterator[WorkerPool]:
    """Load the target in worker processes; afterwards kill them and everything they started.

    `env` names the variables of evalkit's environment that they get in addition to the allow list.
    `calls_at_once` limits the calls in flight; the default is the run's concurrency.

    Raises:
        InvalidInput: the target cannot be loaded; it lists every reason.
    """
    calls_at_once = calls_at_once or environment.concurrency
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
            "threads": calls_at_once,
            "load_timeout_s": target.load_timeout_s,
            "records_inputs": environment.records_inputs and target.kind == "agent",
        },
        folder=environment.root,
        environ=build_child_environment(environment.environ, env),
        mark=f"{environment.run_id or 'run'}/{uuid.uuid4().hex}",
    )
    pool = WorkerPool(launch, processes, calls_at_once)
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
