"""Turns an eval-set file and the command line into a plan: checked whole, before any call is made."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from evalkit.agents import check_agent
from evalkit.cache import Cache, cache_folder
from evalkit.errors import ApprovalNeeded, InvalidInput
from evalkit.holding import GateSource, Rival, join_sets, trials_side_by_side
from evalkit.judgement import JudgeSpec, Reading
from evalkit.judges import check_judges, open_judges
from evalkit.judging.panel import Panel
from evalkit.loading.evalset import load_evalset
from evalkit.loading.specs import CRITERIA
from evalkit.metrics import Scorer, open_scorers, spec_digest
from evalkit.project import find_root
from evalkit.records import (
    AgentSpec,
    Case,
    EvalSet,
    Json,
    Location,
    MetricInfo,
    MetricSpec,
    Problem,
    Rule,
    Surroundings,
)
from evalkit.redaction import Redactor
from evalkit.selection import Selection, select_cases
from evalkit.settings import Settings, layer

DEFAULT_METRICS = (MetricSpec(ref="exact_match", name="exact_match"),)
"""What a set without `metrics:` is scored by."""

ROOM = 4
"""For each agent or judge at work, how many trials may be under way; the others wait for one of them.

A judge that comes late or has to pause then finds a queue to catch up with, and no agent stands idle
meanwhile.
"""

DEFAULT_GATE = (Rule(must_pass=()),)
"""What a set without `gate:` is held to: every case must pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
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
    held_to: GateSource | None = None
    rival: Rival | None = None


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
    surroundings: Surroundings
    panel: Panel
    base_commit: str = ""
    added: tuple[str, ...] = ()

    @property
    def room(self) -> int:
        """How many trials may be under way at once."""
        judges = (judge.concurrency for judge in self.evalset.judges)
        return ROOM * max(self.settings.concurrency, *judges, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scoring:
    """What scores the cases of one set, and what is wrong with that."""

    scorers: Mapping[str, tuple[Scorer, ...]]
    metrics: tuple[MetricInfo, ...]
    problems: tuple[Problem, ...] = ()


@asynccontextmanager
async def open_plan(order: Order, cwd: Path, environ: Mapping[str, str]) -> AsyncIterator[Plan]:
    """Check a set and all it names, and hold its metrics open while the plan is in use.

    Raises:
        InvalidInput: every problem there is.
        NothingSelected: the set is empty or the selection matches no case.
    """
    root = find_root(order.path.parent, cwd)
    evalset, problems = load_evalset(order.path, root=root)
    if order.entrypoint is not None:
        evalset = replace(evalset, agent=with_entrypoint(evalset.agent, order.entrypoint))
    if not order.needs_scores:
        evalset = replace(evalset, judges=(), metrics=(), gate=())
    source = order.held_to
    joined = evalset if source is None else join_sets(source.evalset, evalset)
    settings = layer(Settings(), joined.settings, order.overrides)
    if not order.needs_scores and settings.trials == "auto":
        settings = replace(settings, trials=1)  # nothing shows whether more are needed
    if order.rival is not None and settings.trials == "auto":
        settings = replace(settings, trials=trials_side_by_side(joined.gate))
    surroundings = Surroundings(
        root=root,
        base=order.path.resolve().parent,
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
            raise InvalidInput(sorted(problems, key=_reading_order))
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
    evalset: EvalSet, source: GateSource | None, surroundings: Surroundings
) -> AsyncIterator[Panel]:
    """Hold the judges of a set ready; whatever is wrong with them is told by `check_judges`."""
    there = source.surround(surroundings) if source and source.evalset.judges else surroundings
    wrong = check_judges(evalset.judges, there)
    judges_to_open = (JudgeSpec(kind="lexical"),) if wrong else evalset.judges
    async with open_judges(judges_to_open, there) as judges:
        clean = Redactor(surroundings.environ).clean_text
        panel = Panel(judges, Cache(cache_folder(surroundings.root, "verdicts"), Reading), clean)
        try:
            yield panel
        finally:
            panel.cancel()


async def _open_scoring(
    evalset: EvalSet, surroundings: Surroundings, panel: Panel, stack: AsyncExitStack
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
    source: GateSource,
    own: _Scoring,
    surroundings: Surroundings,
    panel: Panel,
    stack: AsyncExitStack,
) -> _Scoring:
    """The base's metrics for the base's cases, the change's own for those it adds.

    Raises:
        ApprovalNeeded: the base's can no longer be used.
    """
    base = await _open_scoring(source.evalset, source.surround(surroundings), panel, stack)
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


def effective_metrics(evalset: EvalSet, case: Case) -> tuple[MetricSpec, ...]:
    """The metrics of one case: the set's, with the case's own in their place or on top.

    A case's own metrics stand for the default one; what it demands in words comes on top of it.
    """
    own = {spec.name: spec for spec in case.metrics}
    shared = evalset.metrics or (() if own.keys() - {CRITERIA} else DEFAULT_METRICS)
    wanted = [spec for spec in shared if not spec.tags or set(spec.tags) & set(case.tags)]
    replaced = [own.pop(spec.name, spec) for spec in wanted]
    return (*replaced, *own.values())


def distinct_specs(
    evalset: EvalSet, specs: Mapping[str, tuple[MetricSpec, ...]]
) -> tuple[MetricSpec, ...]:
    """Every metric asked for anywhere in the set, once."""
    named = [*evalset.metrics, *(spec for case_specs in specs.values() for spec in case_specs)]
    return tuple({spec_digest(spec): spec for spec in reversed(named)}.values())


def applicable_scorers(
    case: Case, specs: Sequence[MetricSpec], opened: Mapping[str, Scorer]
) -> tuple[Scorer, ...]:
    """The scorers that have what they need in this case, in the order of the metrics."""
    scorers = (opened[spec_digest(spec)] for spec in specs)
    return tuple(scorer for scorer in scorers if scorer.applies_to(case))


def describe_metrics(
    cases: Iterable[Case],
    specs: Mapping[str, Sequence[MetricSpec]],
    opened: Mapping[str, Scorer],
) -> tuple[MetricInfo, ...]:
    """Every metric of a set by name, also of the cases that are not selected.

    A metric that all its cases share has its own digest; one whose arguments differ from case to
    case has none here, because each case's digest covers them.
    """
    infos: dict[str, MetricInfo] = {}
    for case in cases:
        for scorer in applicable_scorers(case, specs[case.id], opened):
            info = infos.setdefault(scorer.info.name, scorer.info)
            if info.digest != scorer.info.digest:
                infos[info.name] = replace(info, digest="")
    return tuple(infos.values())


def find_scoring_problems(
    evalset: EvalSet, specs: Mapping[str, tuple[MetricSpec, ...]], opened: Mapping[str, Scorer]
) -> Iterable[Problem]:
    """Labels a metric cannot use, cases that no metric judges, metrics that judge no case."""
    only_measured = bool(opened) and all(scorer.measures for scorer in opened.values())
    used = set()
    for case in evalset.cases:
        scorers = applicable_scorers(case, specs[case.id], opened)
        used |= {scorer.info.name for scorer in scorers}
        for scorer in scorers:
            if reason := scorer.problem_with(case):
                yield Problem(
                    message=f"case {case.id!r}: {scorer.info.name}: {reason}", where=case.where
                )
        if not scorers or (not only_measured and all(scorer.measures for scorer in scorers)):
            yield Problem(
                message=f"case {case.id!r}: nothing scores it. "
                f"Give it `expected:` or `metrics:` of its own.",
                where=case.where,
            )
    for spec in evalset.metrics if evalset.cases else ():
        if spec.name not in used:
            yield Problem(
                message=f"metric {spec.name!r} scores no case: none has "
                f"{opened[spec_digest(spec)].needs}",
                where=spec.where,
            )


def find_reference_problems(
    evalset: EvalSet, specs: Mapping[str, tuple[MetricSpec, ...]]
) -> Iterable[Problem]:
    """Thresholds on metrics, and thresholds and metrics on tags, that are nowhere in the set."""
    metrics = sorted({spec.name for case_specs in specs.values() for spec in case_specs})
    tags = sorted({tag for case in evalset.cases for tag in case.tags})
    for rule in evalset.gate:
        if rule.metric and rule.metric not in metrics:
            yield _unknown("metric", rule.metric, metrics, rule.where)
        for tag in (*([rule.tag] if rule.tag is not None else []), *(rule.must_pass or ())):
            if tag not in tags:
                yield _unknown("tag", tag, tags, rule.where)
    for spec in evalset.metrics:
        for tag in spec.tags:
            if tag not in tags:
                yield _unknown("tag", tag, tags, spec.where)


def find_limit_problems(evalset: EvalSet, opened: Mapping[str, Scorer]) -> Iterable[Problem]:
    """Limits that no share can reach, as when somebody thinks in percent."""
    shares = {scorer.info.name for scorer in opened.values() if not scorer.info.unit}
    for rule in evalset.gate:
        for name in ("min", "max", "max_drop", "max_rise", "margin"):
            limit = getattr(rule, name)
            if rule.metric in shares and limit is not None and limit > 1:
                yield Problem(
                    message=f"gate: {name} is {limit:g}, but {rule.metric!r} is a share in 0..1. "
                    f"For {limit:g} percent write {limit / 100:g}.",
                    where=rule.where,
                )


def _unknown(noun: str, name: str, known: Sequence[str], where: Location) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}."
    return Problem(message=f"no case has the {noun} {name!r}. {advice}", where=where)


def find_agent_problems(
    evalset: EvalSet,
    cases: Sequence[Case],
    surroundings: Surroundings,
    found: Sequence[Problem],
) -> list[Problem]:
    """What keeps the agent from being asked, as far as can be told without asking it."""
    if evalset.agent is None:
        # An agent that could not be read, or a file that could not, has been told already.
        if not evalset.cases or any(problem.message.startswith("agent") for problem in found):
            return []
        return [
            Problem(
                message=f"{evalset.path}: no agent. Add `agent:` here or in evalkit.yaml, "
                f"such as `agent: {{python: my_agent:answer}}`."
            )
        ]
    return check_agent(evalset.agent, cases, surroundings)


def _reading_order(problem: Problem) -> tuple[str, int, int]:
    where = problem.where
    return (where.path, where.line, where.column) if where else ("", 0, 0)
