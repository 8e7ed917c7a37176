"""Check that an eval set's cases, metrics, thresholds and agent fit together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from evalkit.agents.registry import check_agent
from evalkit.core.eval_set import Case, EvalSet, MetricSpec
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.metrics.scorers import Scorer, spec_digest
from evalkit.runner.case_metrics import applicable_scorers


def find_scoring_problems(
    evalset: EvalSet, specs: Mapping[str, tuple[MetricSpec, ...]], opened: Mapping[str, Scorer]
) -> Iterable[Problem]:
    """Labels a metric cannot use, cases that no metric judges, metrics that judge no case."""
    only_measured = bool(opened) and all(scorer.is_measurement for scorer in opened.values())
    used = set()
    for case in evalset.cases:
        scorers = applicable_scorers(case, specs[case.id], opened)
        used |= {scorer.info.name for scorer in scorers}
        for scorer in scorers:
            if reason := scorer.problem_with(case):
                yield Problem(
                    message=f"case {case.id!r}: {scorer.info.name}: {reason}", where=case.where
                )
        if not scorers or (not only_measured and all(scorer.is_measurement for scorer in scorers)):
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
            yield _unknown_name_problem("metric", rule.metric, metrics, rule.where)
        for tag in (*([rule.tag] if rule.tag is not None else []), *(rule.must_pass or ())):
            if tag not in tags:
                yield _unknown_name_problem("tag", tag, tags, rule.where)
    for spec in evalset.metrics:
        for tag in spec.tags:
            if tag not in tags:
                yield _unknown_name_problem("tag", tag, tags, spec.where)


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


def _unknown_name_problem(noun: str, name: str, known: Sequence[str], where: Location) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}."
    return Problem(message=f"no case has the {noun} {name!r}. {advice}", where=where)


def find_agent_problems(
    evalset: EvalSet,
    cases: Sequence[Case],
    surroundings: RunEnvironment,
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


def _sort_key(problem: Problem) -> tuple[str, int, int]:
    where = problem.where
    return (where.path, where.line, where.column) if where else ("", 0, 0)
