"""Carries out a plan: a new or resumed run in the store, the agent asked, signals obeyed."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec

from evalkit import __version__
from evalkit.agents import Agent, entrypoint_of, open_agent
from evalkit.digest import digest
from evalkit.errors import InvalidInput
from evalkit.plan import Order, Plan, open_plan
from evalkit.project import find_root, read_git_state
from evalkit.records import Case, Json, MetricInfo, Problem, Run, RunHeader, Trial
from evalkit.redaction import Redactor
from evalkit.runner import Limits, Runner, StopSign, assign
from evalkit.selection import Selection
from evalkit.store import (
    RunWriter,
    find_unfinished,
    in_order,
    new_run_id,
    read_run,
    runs_folder,
)
from evalkit.summary import tally

SAME_TO_RESUME = (
    "evalset",
    "metrics",
    "trials",
    "agent_kind",
    "agent_entrypoint",
    "agent_digest",
    "agent_version",
    "source_digest",
    "evalkit_version",
)
"""Fields of a run's header that must be what they were for a run to be resumed."""

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Watch(Protocol):
    """Is told how a run comes along."""

    def finished(self, trial: Trial) -> None:
        """One more trial is stored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What a command needs of the outside; the command line supplies the real one."""

    cwd: Path
    environ: Mapping[str, str]
    now: Callable[[], datetime]
    token: Callable[[], str]
    watch: Callable[[int], AbstractContextManager[Watch]]
    say: Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """How a run is stored and named, apart from what it runs."""

    agent_version: str | None = None
    run_id: str | None = None
    resume: bool = False
    retry_errors: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """A run as far as it came; `stopped_by` is the signal that ended it early, if one did."""

    run: Run
    plan: Plan
    baseline: Run | None = None
    stopped_by: int | None = None
    unreachable: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing kept the run from its end."""
        return self.stopped_by is None and not self.unreachable


BaselineReader: TypeAlias = Callable[[Plan], Run | None]
"""Finds what a plan's run will be compared with, before anything is spent on the run."""


def execute(order: Order, choices: Choices, world: World, baseline_of: BaselineReader) -> Execution:
    """Run what is ordered and store it trial by trial; says how far it came.

    Raises:
        EvalkitError: whatever is wrong with the order, the environment, the baseline or the store.
    """
    if choices.run_id is not None and not RUN_ID.fullmatch(choices.run_id):
        raise InvalidInput.single(
            f"--run-id {choices.run_id!r} cannot name a folder. "
            f"Use up to 100 letters, digits, '.', '_' and '-', a letter or digit first."
        )
    return asyncio.run(_execute(order, choices, world, baseline_of))


async def _execute(
    order: Order, choices: Choices, world: World, baseline_of: BaselineReader
) -> Execution:
    earlier = find_earlier(order, choices, world) if choices.resume else None
    if earlier:
        order = adopt_stored(order, earlier.header)
    async with open_plan(order, world.cwd, world.environ) as plan:
        baseline = baseline_of(plan)
        header = describe_run(plan, order, choices, world)
        if earlier:
            header = refuse_if_changed(earlier.header, header)
        surroundings = replace(plan.surroundings, run_id=header.id)
        async with open_agent(plan.agent, surroundings) as agent:
            kept = _kept_trials(earlier, choices)
            with (
                _open_writer(plan.surroundings.root, header, earlier) as writer,
                world.watch(len(header.cases) * header.trials - len(kept)) as watch,
            ):
                execution = await _run_plan(plan, header, agent, _Desk(writer, watch, kept))
    return replace(execution, baseline=baseline)


class _Desk:
    """Where finished trials go: to disk first, then to memory, then to whoever watches."""

    def __init__(self, writer: RunWriter, watch: Watch, kept: Sequence[Trial]) -> None:
        self.writer = writer
        self.rows = list(kept)
        self.done = frozenset((trial.case_id, trial.number) for trial in kept)
        self._watch = watch

    def save(self, trial: Trial) -> None:
        self.writer.append(trial)
        self.rows.append(trial)
        self._watch.finished(trial)


async def _run_plan(plan: Plan, header: RunHeader, agent: Agent, desk: _Desk) -> Execution:
    limits = Limits(
        concurrency=plan.settings.concurrency,
        timeout_s=plan.agent.timeout_s,
        attempts=plan.agent.attempts,
        retry_deadline_s=plan.settings.retry_deadline_s,
    )
    redactor = Redactor(plan.surroundings.environ)
    runner = Runner(agent, limits, seed=plan.settings.seed, redactor=redactor, save=desk.save)
    stop = StopSign()
    with _obeyed_signals(stop) as signals:
        await runner.run(assign(plan.cases, header.trials, plan.scorers, desk.done), stop)
    complete = not signals and not runner.unreachable
    run = Run(
        header=header,
        trials=in_order(header, desk.rows),
        path=str(desk.writer.folder),
        finished=complete,
    )
    if complete:
        desk.writer.finish(msgspec.to_builtins(tally(run)))
    return Execution(
        run=run,
        plan=plan,
        stopped_by=signals[0] if signals else None,
        unreachable=runner.unreachable,
    )


@contextmanager
def _obeyed_signals(stop: StopSign) -> Iterator[list[int]]:
    """Turn ^C and a CI system's cancel into a stop; yields the signals that came."""
    loop = asyncio.get_running_loop()
    came: list[int] = []

    def obey(number: int) -> None:
        came.append(number)
        stop.ask()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, obey, number)
    try:
        yield came
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _open_writer(root: Path, header: RunHeader, earlier: Run | None) -> RunWriter:
    return RunWriter.reopen(Path(earlier.path)) if earlier else RunWriter.create(root, header)


def _kept_trials(earlier: Run | None, choices: Choices) -> tuple[Trial, ...]:
    if earlier is None:
        return ()
    again = choices.retry_errors
    return tuple(trial for trial in earlier.trials if trial.state == "scored" or not again)


def find_earlier(order: Order, choices: Choices, world: World) -> Run:
    """The run to go on with: the one named, else the set's newest unfinished one.

    Raises:
        InvalidInput: there is none.
        StoreError: it cannot be read.
    """
    root = find_root(order.path.parent, world.cwd)
    folder = (
        runs_folder(root) / choices.run_id
        if choices.run_id
        else find_unfinished(root, path_in(root, order.path))
    )
    if folder is None or not folder.exists():
        raise InvalidInput.single(
            f"{order.path}: there is no unfinished run to resume. Start one without --resume."
        )
    return read_run(folder)


def adopt_stored(order: Order, stored: RunHeader) -> Order:
    """The order a stored run was started with, unless the command line says otherwise."""
    settings = {**stored.settings, **_given(order.overrides)}
    selection = order.selection
    if not str(selection):
        selection = Selection(only=frozenset(case.id for case in stored.cases))
    return replace(order, selection=selection, overrides=settings)


def _given(values: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value is not None}


def describe_run(plan: Plan, order: Order, choices: Choices, world: World) -> RunHeader:
    """The header of a new run of a plan."""
    root = plan.surroundings.root
    git = read_git_state(root, world.environ)
    now = world.now()
    return RunHeader(
        id=choices.run_id or new_run_id(now, plan.evalset.name, world.token()),
        evalset=plan.evalset.name,
        evalset_path=path_in(root, order.path),
        evalset_digest=plan.evalset.digest,
        cases=plan.cases,
        metrics=describe_metrics(plan),
        gate=plan.gate,
        trials=plan.settings.trials,
        agent_kind=plan.agent.kind,
        agent_entrypoint=entrypoint_of(plan.agent),
        agent_digest=digest([plan.agent.kind, plan.agent.args]),
        agent_version=choices.agent_version or plan.agent.version or git.version,
        settings=msgspec.to_builtins(plan.settings),
        created=now.astimezone(UTC).isoformat(timespec="seconds"),
        evalkit_version=__version__,
        git_commit=git.commit,
        git_dirty=git.dirty,
        source_digest=git.diff_digest,
        selection=str(plan.selection),
        shard=str(plan.selection.shard or ""),
        cases_in_set=len(plan.evalset.cases),
    )


def describe_metrics(plan: Plan) -> tuple[MetricInfo, ...]:
    """Every metric of the selected cases by name.

    A metric that all its cases share has its own digest; one whose arguments differ from case to
    case has none here, because each case's digest covers them.
    """
    infos: dict[str, MetricInfo] = {}
    for scorers in plan.scorers.values():
        for scorer in scorers:
            info = infos.setdefault(scorer.info.name, scorer.info)
            if info.digest != scorer.info.digest:
                infos[info.name] = replace(info, digest="")
    return tuple(infos.values())


def refuse_if_changed(stored: RunHeader, planned: RunHeader) -> RunHeader:
    """The stored header, once it is sure that what is planned now is the same run.

    Raises:
        InvalidInput: what differs; its trials would be of two different things.
    """
    problems = [
        Problem(message=f"{name} was {getattr(stored, name)!r}, is {getattr(planned, name)!r}")
        for name in SAME_TO_RESUME
        if getattr(stored, name) != getattr(planned, name)
    ]
    if stored.settings.get("seed") != planned.settings.get("seed"):
        problems.append(Problem(message="the seed is another one"))
    changed = _changed_cases(stored.cases, planned.cases)
    if changed:
        problems.append(Problem(message=f"cases changed: {', '.join(changed)}"))
    if problems:
        advice = f"run {stored.id} cannot be resumed, because what it ran has changed. Start anew."
        raise InvalidInput([Problem(message=advice), *problems])
    return stored


def _changed_cases(stored: Sequence[Case], planned: Sequence[Case]) -> list[str]:
    before = {case.id: case.digest for case in stored}
    after = {case.id: case.digest for case in planned}
    return sorted(
        case_id
        for case_id in before.keys() | after.keys()
        if before.get(case_id) != after.get(case_id)
    )


def path_in(root: Path, path: Path) -> str:
    """A path as it is stored: from the root when it is below it, so that clones agree."""
    resolved = path.resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else str(resolved)
