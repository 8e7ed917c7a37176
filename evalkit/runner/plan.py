"""Build a plan from an eval set and the command line, and check all of it before any call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

from evalkit.agents.cost_budget import RunCosts
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import AgentSpec, EvalSet
from evalkit.core.judgement import JudgeSpec
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.core.settings import Settings, merge_settings
from evalkit.evalset.base_version import BaseVersion, choose_against_trials, merge_sets
from evalkit.evalset.project import Project
from evalkit.evalset.selection import select_cases
from evalkit.judge.judge_panel import JudgePanel
from evalkit.judge.jury import open_panel
from evalkit.judge.registry import check_judges, open_judges
from evalkit.runner.agent_prices import find_price_problems
from evalkit.runner.cache_trust import open_verdict_cache
from evalkit.runner.case_metrics import DEFAULT_GATE
from evalkit.runner.checks import find_agent_problems
from evalkit.runner.records import Plan, RunRequest
from evalkit.runner.redactor import build_redactor
from evalkit.runner.scoring import Scoring, open_base_scoring, open_scoring


@asynccontextmanager
async def open_plan(request: RunRequest, project: Project) -> AsyncIterator[Plan]:
    """Check a set and everything it names, and keep its metrics open while the plan is in use.

    Raises:
        InvalidInput: every problem found.
        NothingSelected: the set is empty, or the selection matches no case.
    """
    evalset, problems = project.load(request.path)
    evalset = _apply_request(evalset, request)
    version = request.agent_at
    base = request.base_version
    merged = evalset if base is None else merge_sets(base.evalset, evalset)
    settings = _choose_settings(request, merged)
    environment = RunEnvironment(
        root=project.root,
        set_folder=request.path.resolve().parent,
        environ=project.environ,
        concurrency=settings.concurrency,
        trials=settings.first_trials,
        retry_deadline_s=settings.retry_deadline_s,
    )
    agent_environment = version.adapt_environment(environment) if version else environment
    async with AsyncExitStack() as stack:
        costs = RunCosts(settings.max_cost_usd)
        panel = await stack.enter_async_context(_open_panel(merged, base, environment, costs))
        if request.needs_scores:
            scoring = await open_scoring(evalset, environment, panel, stack)
        else:
            scoring = Scoring(scorers={case.id: () for case in evalset.cases})
        problems += scoring.problems
        if base is not None and not problems:
            scoring = await open_base_scoring(base, scoring, environment, panel, stack)
        # If there are problems, the selection could fail for the same reasons.
        cases = merged.cases if problems else select_cases(merged.cases, request.selection)
        if request.needs_agent and (evalset.cases or merged.agent):
            problems += find_agent_problems(merged, cases, agent_environment, problems)
        problems += _find_unpriced_models(merged, settings, environment, problems)
        agent = merged.agent
        if agent is None and not request.needs_agent:
            agent = AgentSpec(kind="recorded", args={})
        if problems or agent is None:
            raise InvalidInput(sorted(problems, key=_location_key))
        known = {case.id for case in (base.evalset.cases if base else merged.cases)}
        yield Plan(
            evalset=merged,
            cases=cases,
            agent=agent,
            gate=merged.gate or DEFAULT_GATE,
            settings=settings,
            selection=request.selection,
            scorers=scoring.scorers,
            metrics=scoring.metrics,
            environment=environment,
            agent_environment=agent_environment,
            panel=panel,
            costs=costs,
            base_commit=base.commit if base else "",
            added=tuple(case.id for case in cases if case.id not in known),
            budget=request.budget,
        )


def _apply_request(evalset: EvalSet, request: RunRequest) -> EvalSet:
    """Return the set with the agent that a request names, and without scores if it needs none."""
    if request.entrypoint is not None:
        evalset = replace(evalset, agent=with_entrypoint(evalset.agent, request.entrypoint))
    if request.agent_at is not None:
        evalset = replace(evalset, agent=request.agent_at.agent)
    if not request.needs_scores:
        evalset = replace(evalset, judges=(), metrics=(), gate=())
    return evalset


def _choose_settings(request: RunRequest, evalset: EvalSet) -> Settings:
    settings = merge_settings(evalset.settings, request.overrides)
    if settings.trials != "auto":
        return settings
    if request.baseline_agent is not None:
        return replace(settings, trials=choose_against_trials(evalset.gate))
    # Without scores, no result can require more trials.
    return settings if request.needs_scores else replace(settings, trials=1)


@asynccontextmanager
async def _open_panel(
    evalset: EvalSet, base: BaseVersion | None, environment: RunEnvironment, costs: RunCosts
) -> AsyncIterator[JudgePanel]:
    """Open the judges of a set; `check_judges` reports what is wrong with them.

    Raises:
        StoreError: something else has written verdicts meanwhile.
    """
    judge_env = base.adapt_environment(environment) if base and base.evalset.judges else environment
    wrong = check_judges(evalset.judges, judge_env)
    # The lexical judge, which needs nothing, replaces broken ones, so that all other checks still run.
    usable = (JudgeSpec(kind="lexical"),) if wrong else evalset.judges
    async with open_judges(usable, judge_env, costs) as judges:
        redact = build_redactor(evalset, environment.environ).redact_text
        cache = open_verdict_cache(usable, environment, evalset.agent)
        panel = open_panel(usable, judges, cache, redact)
        try:
            yield panel
        finally:
            panel.cancel()
        # Every process that could write to it has ended.
        cache.refuse_forged()


def _find_unpriced_models(
    evalset: EvalSet,
    settings: Settings,
    environment: RunEnvironment,
    known: Sequence[Problem],
) -> list[Problem]:
    """Return what cost limits require of models, without the problems known already."""
    run_is_limited = settings.max_cost_usd is not None
    found: list[Problem] = []
    if evalset.agent is not None:
        with suppress(InvalidInput):  # wrong arguments are among the known problems
            found += find_price_problems(
                evalset.agent, environment.environ, is_run_limited=run_is_limited
            )
    if not run_is_limited:
        return found
    limited = [
        replace(spec, max_cost_usd=spec.max_cost_usd or settings.max_cost_usd)
        for spec in evalset.judges
        if spec.kind != "lexical"
    ]
    return [*found, *(each for each in check_judges(limited, environment) if each not in known)]


def _location_key(problem: Problem) -> tuple[str, int, int]:
    where = problem.where
    return (where.path, where.line, where.column) if where else ("", 0, 0)


def with_entrypoint(agent: AgentSpec | None, entrypoint: str) -> AgentSpec:
    """Return another Python function as the agent, with the limits of the agent it replaces."""
    limits = agent or AgentSpec(kind="python", args={})
    where = Location(path="--agent (paths start from the set's folder)")
    return replace(limits, kind="python", args={"": entrypoint}, where=where)
