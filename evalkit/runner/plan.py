"""Turns an eval-set file and the command line into a plan: checked whole, before any call is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from evalkit.core.errors import ApprovalNeeded, InvalidInput
from evalkit.core.eval_set import AgentSpec, Case, EvalSet, Rule
from evalkit.core.judgement import JudgeSpec, JudgeVote
from evalkit.core.literals import Json
from evalkit.core.location import Location, Problem
from evalkit.core.project import find_project_root
from evalkit.core.redaction import Redactor
from evalkit.core.run import MetricInfo, RunEnvironment
from evalkit.core.settings import Settings, merge_settings
from evalkit.evalset.base_version import (
    BaselineAgent,
    BaseVersion,
    choose_against_trials,
    merge_sets,
)
from evalkit.evalset.loader import load_evalset
from evalkit.evalset.selection import Selection, select_cases
from evalkit.judge.panel import Panel
from evalkit.judge.registry import check_judges, open_judges
from evalkit.metrics.scorers import Scorer
from evalkit.metrics.specs import open_scorers
from evalkit.runner.case_metrics import (
    applicable_scorers,
    describe_metrics,
    distinct_specs,
    effective_metrics,
)
from evalkit.runner.checks import (
    _sort_key,
    find_agent_problems,
    find_limit_problems,
    find_reference_problems,
    find_scoring_problems,
)
from evalkit.store.cache import Cache, cache_folder

IN_FLIGHT_PER_SLOT = 4
"""For each agent or judge at work, how many trials may be under way; the others wait for one of them.

A judge that comes late or has to pause then finds a queue to catch up with, and no agent stands idle
meanwhile.
"""

DEFAULT_GATE = (Rule(must_pass=()),)
"""What a set without `gate:` is held to: every case must pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What the user asked for: a set, which of its cases, and settings laid over the file's.

    `entrypoint` names a Python function to test in place of the set's agent. Without `needs_agent` nothing
    is asked of it, so that it may be missing or broken. Without `needs_scores` nothing is scored, so that
    neither judges nor metrics are opened. With `held_to`, the cases, metrics, thresholds
    and settings that decide are those of another commit; a `rival` is run alongside.
    """

    path: Path
    entrypoint: str | None = None
    needs_agent: bool = True
    needs_scores: bool = True
    selection: Selection = field(default_factory=Selection)
    overrides: Mapping[str, Json] = field(default_factory=dict)
    base_version: BaseVersion | None = None
    baseline_agent: BaselineAgent | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything a run needs, checked: nothing in it can turn out to be a typo any more."""

    evalset: EvalSet
    cases: tuple[Case, ...]
    agent: AgentSpec
    gate: tuple[Rule, ...]
    settings: Settings
    selection: Selection
    scorers: Mapping[str, tuple[Scorer, ...]]
    metrics: tuple[MetricInfo, ...]
    surroundings: RunEnvironment
    panel: Panel
    base_commit: str = ""
    added: tuple[str, ...] = ()

    @property
    def max_in_flight(self) -> int:
        """How many trials may be under way at once."""
        judges = (judge.concurrency for judge in self.evalset.judges)
        return IN_FLIGHT_PER_SLOT * max(self.settings.concurrency, *judges, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scoring:
    """What scores the cases of one set, and what is wrong with that."""

    scorers: Mapping[str, tuple[Scorer, ...]]
    metrics: tuple[MetricInfo, ...]
    problems: tuple[Problem, ...] = ()


@asynccontextmanager
async def open_plan(
    order: RunRequest, cwd: Path, environ: Mapping[str, str]
) -> AsyncIterator[Plan]:
    """Check a set and all it names, and hold its metrics open while the plan is in use.

    Raises:
        InvalidInput: every problem there is.
        NothingSelected: the set is empty or the selection matches no case.
    """
    root = find_project_root(order.path.parent, cwd)
    evalset, problems = load_evalset(order.path, root=root)
    if order.entrypoint is not None:
        evalset = replace(evalset, agent=with_entrypoint(evalset.agent, order.entrypoint))
    if not order.needs_scores:
        evalset = replace(evalset, judges=(), metrics=(), gate=())
    source = order.base_version
    joined = evalset if source is None else merge_sets(source.evalset, evalset)
    settings = merge_settings(Settings(), joined.settings, order.overrides)
    if not order.needs_scores and settings.trials == "auto":
        settings = replace(settings, trials=1)  # nothing shows whether more are needed
    if order.baseline_agent is not None and settings.trials == "auto":
        settings = replace(settings, trials=choose_against_trials(joined.gate))
    surroundings = RunEnvironment(
        root=root,
        set_folder=order.path.resolve().parent,
        environ=environ,
        concurrency=settings.concurrency,
        trials=settings.first_trials,
    )
    async with AsyncExitStack() as stack:
        panel = await stack.enter_async_context(open_panel(joined, source, surroundings))
        scoring = (
            await _open_scoring(evalset, surroundings, panel, stack)
            if order.needs_scores
            else _Scoring(scorers={case.id: () for case in evalset.cases}, metrics=())
        )
        problems = [*problems, *scoring.problems]
        if source is not None and not problems:
            scoring = await _open_base_scoring(source, scoring, surroundings, panel, stack)
        cases = joined.cases if problems else select_cases(joined.cases, order.selection)
        if order.needs_agent:
            problems = [*problems, *find_agent_problems(joined, cases, surroundings, problems)]
        agent = joined.agent or (None if order.needs_agent else AgentSpec(kind="recorded", args={}))
        if problems or agent is None:
            raise InvalidInput(sorted(problems, key=_sort_key))
        known = {case.id for case in source.evalset.cases} if source else None
        yield Plan(
            evalset=joined,
            cases=cases,
            agent=agent,
            gate=joined.gate or DEFAULT_GATE,
            settings=settings,
            selection=order.selection,
            scorers=scoring.scorers,
            metrics=scoring.metrics,
            surroundings=surroundings,
            panel=panel,
            base_commit=source.commit if source else "",
            added=tuple(case.id for case in cases if known is not None and case.id not in known),
        )


@asynccontextmanager
async def open_panel(
    evalset: EvalSet, source: BaseVersion | None, surroundings: RunEnvironment
) -> AsyncIterator[Panel]:
    """Hold the judges of a set ready; whatever is wrong with them is told by `check_judges`."""
    there = (
        source.adapt_environment(surroundings) if source and source.evalset.judges else surroundings
    )
    wrong = check_judges(evalset.judges, there)
    judges_to_open = (JudgeSpec(kind="lexical"),) if wrong else evalset.judges
    async with open_judges(judges_to_open, there) as judges:
        clean = Redactor(surroundings.environ).redact_text
        panel = Panel(judges, Cache(cache_folder(surroundings.root, "verdicts"), JudgeVote), clean)
        try:
            yield panel
        finally:
            panel.cancel()


async def _open_scoring(
    evalset: EvalSet, surroundings: RunEnvironment, panel: Panel, stack: AsyncExitStack
) -> _Scoring:
    """Open a set's metrics for as long as the stack is, and look for all that is wrong with them."""
    specs = {case.id: effective_metrics(evalset, case) for case in evalset.cases}
    wrong = tuple(check_judges(evalset.judges, surroundings))
    try:
        opened = await stack.enter_async_context(
            open_scorers(distinct_specs(evalset, specs), surroundings, panel)
        )
    except InvalidInput as error:
        return _Scoring(scorers={}, metrics=(), problems=(*wrong, *error.problems))
    return _Scoring(
        scorers={
            case.id: applicable_scorers(case, specs[case.id], opened) for case in evalset.cases
        },
        metrics=describe_metrics(evalset.cases, specs, opened),
        problems=(
            *wrong,
            *find_scoring_problems(evalset, specs, opened),
            *find_reference_problems(evalset, specs),
            *find_limit_problems(evalset, opened),
        ),
    )


async def _open_base_scoring(
    source: BaseVersion,
    own: _Scoring,
    surroundings: RunEnvironment,
    panel: Panel,
    stack: AsyncExitStack,
) -> _Scoring:
    """The base's metrics for the base's cases, the change's own for those it adds.

    Raises:
        ApprovalNeeded: the base's can no longer be used.
    """
    base = await _open_scoring(source.evalset, source.adapt_environment(surroundings), panel, stack)
    if base.problems:
        told = "\n".join(map(str, base.problems))
        raise ApprovalNeeded(
            f"the gate as it is at {source.name} cannot be applied any more. If the change means to "
            f"mend that, approve it with --accept-gate-changes. There:\n{told}"
        )
    names = {info.name for info in base.metrics}
    return _Scoring(
        scorers={**own.scorers, **base.scorers},
        metrics=(*base.metrics, *(info for info in own.metrics if info.name not in names)),
    )


def with_entrypoint(agent: AgentSpec | None, entrypoint: str) -> AgentSpec:
    """Another Python function under the limits of the agent it stands in for."""
    limits = agent or AgentSpec(kind="python", args={})
    where = Location(path="--agent (paths start from the set's folder)")
    return replace(limits, kind="python", args={"": entrypoint}, where=where)
