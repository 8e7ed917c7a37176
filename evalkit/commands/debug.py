"""`evalkit run --pdb`: run one case in this process, under the debugger."""

from __future__ import annotations

import asyncio
import pdb
import sys
import time

from evalkit.agents.conversation import converse
from evalkit.agents.python import entrypoint, to_payload
from evalkit.agents.reply import to_output
from evalkit.core.context import Context
from evalkit.core.errors import InvalidInput
from evalkit.core.trial import Output, Request
from evalkit.evalset.project import Project
from evalkit.runner.output_scores import score_output
from evalkit.runner.plan import open_plan
from evalkit.runner.records import Plan, RunRequest
from evalkit.runner.scheduler import trial_seed
from evalkit.worker.agent_target import AgentTarget
from evalkit.worker.object_loader import load_object
from evalkit.worker.user_code import LoadFailure


class _DebuggedAgent:
    """A Python entrypoint called in this process, with the debugger at its first line."""

    def __init__(self, target: AgentTarget) -> None:
        self._target = target

    async def answer(self, request: Request) -> Output:
        positional, named = self._target.read_payload(to_payload(request))
        start_s = time.monotonic()
        # It stops first in the user's code, not in what calls it.
        debugger = pdb.Pdb(skip=["evalkit.*", "abc", "collections.abc", "asyncio.*"])
        if self._target.is_async:
            debugger.set_trace(sys._getframe())  # noqa: SLF001 - the frame that awaits it
            value = await self._target.function(*positional, **named)  # type: ignore[misc]
        else:
            value = debugger.runcall(self._target.function, *positional, **named)
        return to_output(self._target.to_json(value), time.monotonic() - start_s)


def debug(request: RunRequest, context: Context) -> str:
    """Run the one selected case under pdb, score it, and return the result as text. Store nothing.

    Raises:
        InvalidInput: not exactly one case, not a Python agent, or no terminal to debug on.
    """
    # Without a terminal, pdb would read its commands from redirected input.
    if not (sys.stdin and sys.stdin.isatty()):
        raise InvalidInput.single("--pdb needs a terminal. Run it from one, not in CI.")
    return asyncio.run(_debug(request, Project.open(context, request.path)))


async def _debug(request: RunRequest, project: Project) -> str:
    async with open_plan(request, project) as plan:
        if len(plan.cases) != 1:
            raise InvalidInput.single(f"--pdb runs one case, not {len(plan.cases)}. Add --case ID.")
        if plan.agent.kind != "python":
            raise InvalidInput.single(
                f"--pdb debugs agents of the kind 'python', not {plan.agent.kind!r}."
            )
        case = plan.cases[0]
        output = await converse(
            _DebuggedAgent(_load_target(plan)),
            case,
            trial=0,
            timeout_s=plan.agent.timeout_s,
            seed=trial_seed(plan.settings.seed, case.id, 0),
        )
        scores = await score_output(case, plan.scorers[case.id], output)
    lines = [f"case {case.id}", f"  output: {output.text!r}", f"  expected: {case.expected!r}"]
    lines += [f"  {score.metric}: {score.value} {score.explanation}" for score in scores]
    return "\n".join(lines) + "\n"


def _load_target(plan: Plan) -> AgentTarget:
    environment = plan.environment
    try:
        found, _ = load_object(entrypoint(plan.agent), environment.set_folder, environment.root)
        return AgentTarget(found)
    except LoadFailure as failure:
        raise InvalidInput.single(
            "\n".join((*failure.reasons, failure.detail)), plan.agent.where
        ) from failure
