"""Check that an eval set's cases, metrics, thresholds and agent fit together."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterable, Mapping, Sequence

from evalkit.agents.arguments import to_problem
from evalkit.agents.registry import check_agent
from evalkit.agents.variables import find_judge_variables
from evalkit.core.eval_set import Case, EvalSet, MetricSpec, Rule
from evalkit.core.location import Location, Problem
from evalkit.core.run import RunEnvironment
from evalkit.evalset.gate import explain_pairwise_misuse
from evalkit.metrics.scorers import Scorer


def find_scoring_problems(
    evalset: EvalSet,
    scorers: Mapping[str, Sequence[Scorer]],
    opened: Sequence[Scorer],
    shared: Mapping[str, Scorer],
) -> Iterable[Problem]:
    """Yield labels that a metric cannot use, cases without a metric, and metrics without a case.

    Args:
        evalset: the set.
        scorers: the scorers that apply to each case, by case id.
        opened: all scorers of the set, including those that apply to no case.
        shared: the scorers of the set's own `metrics:`, by name.
    """
    only_measured = bool(opened) and all(scorer.is_measurement for scorer in opened)
    used = {scorer.info.name for row in scorers.values() for scorer in row}
    for case in evalset.cases:
        for scorer in scorers[case.id]:
            if reason := scorer.problem_with(case):
                yield Problem(
                    message=f"case {case.id!r}: {scorer.info.name}: {reason}", where=case.where
                )
        if not scorers[case.id] or (
            not only_measured and all(scorer.is_measurement for scorer in scorers[case.id])
        ):
            advice = "Add `expected:` or its own `metrics:` to it."
            if case.draft is not None:
                advice = "Its label is a draft. If it is right, rename `draft` to `expected`."
            yield Problem(
                message=f"case {case.id!r}: no metric scores it. {advice}", where=case.where
            )
    for spec in evalset.metrics if evalset.cases else ():
        if spec.name not in used:
            yield Problem(
                message=f"metric {spec.name!r} scores no case: none has {shared[spec.name].needs}",
                where=spec.where,
            )


def find_failure_problems(
    evalset: EvalSet, scorers: Mapping[str, Sequence[Scorer]]
) -> Iterable[Problem]:
    """Yield a problem if no answer of the agent can make the set fail."""
    if not evalset.cases or not all(scorers[case.id] for case in evalset.cases):
        return
    used = [scorer for row in scorers.values() for scorer in row]
    trials_can_fail = not all(scorer.is_measurement for scorer in used)
    shares = {scorer.info.name for scorer in used if not scorer.info.unit}
    if not evalset.gate and not trials_can_fail:
        yield Problem(
            message="nothing can fail: every metric only measures. Add one that an answer can fail, or "
            "a threshold, as in `gate: [{metric: latency_s, max: 2}]`.",
            where=evalset.metrics[0].where if evalset.metrics else evalset.cases[0].where,
        )
    elif evalset.gate and not any(
        _can_fail(rule, shares, trials_can_fail, len(evalset.cases)) for rule in evalset.gate
    ):
        yield Problem(
            message="nothing can fail: no result exceeds a threshold of the gate. Set a stricter one.",
            where=evalset.gate[0].where,
        )


def _can_fail(rule: Rule, shares: Container[str], trials_can_fail: bool, cases: int) -> bool:
    if not rule.metric:
        most = rule.max_regressed if rule.broken_cases is None else rule.broken_cases
        return trials_can_fail and (most is None or most < cases)
    if rule.metric not in shares:  # its scores have no known limits
        return True
    if rule.min is not None:
        return rule.min > 0
    return rule.max is None or rule.max < 1


def find_reference_problems(
    evalset: EvalSet, specs: Mapping[str, tuple[MetricSpec, ...]]
) -> Iterable[Problem]:
    """Yield references to metrics and tags that do not exist in the set."""
    if not evalset.cases:  # a problem of its own
        return
    used = {(spec.ref, spec.name) for case_specs in specs.values() for spec in case_specs}
    metrics = sorted({name for _, name in used})
    tags = sorted({tag for case in evalset.cases for tag in case.tags})
    for rule in evalset.gate:
        if rule.metric and rule.metric not in metrics:
            called = sorted(name for ref, name in used if ref == rule.metric)
            advice = f"{rule.metric} is called {' and '.join(called)} here." if called else ""
            yield _unknown_name_problem("metric", rule.metric, metrics, rule.where, advice)
        for tag in (*([rule.tag] if rule.tag is not None else []), *(rule.must_pass or ())):
            if tag not in tags:
                yield _unknown_name_problem("tag", tag, tags, rule.where)
    for spec in evalset.metrics:
        for tag in spec.tags:
            if tag not in tags:
                yield _unknown_name_problem("tag", tag, tags, spec.where)


def find_limit_problems(evalset: EvalSet, opened: Iterable[Scorer]) -> Iterable[Problem]:
    """Yield limits above 1 on metrics that are a share in 0..1; the user probably meant percent."""
    shares = {scorer.info.name for scorer in opened if not scorer.info.unit}
    for rule in evalset.gate:
        for name in ("min", "max", "max_drop", "max_rise", "margin"):
            limit = getattr(rule, name)
            if rule.metric in shares and limit is not None and limit > 1:
                yield Problem(
                    message=f"gate: {name} is {limit:g}, but {rule.metric!r} is a share in 0..1. "
                    f"For {limit:g} percent write {limit / 100:g}.",
                    where=rule.where,
                )


def find_pairwise_problems(evalset: EvalSet, opened: Iterable[Scorer]) -> Iterable[Problem]:
    """Yield thresholds that a pairwise metric cannot decide."""
    pairwise = {scorer.info.name for scorer in opened if scorer.info.is_pairwise}
    for rule in evalset.gate:
        if rule.metric in pairwise and (why := explain_pairwise_misuse(rule)):
            message = f"gate: {rule.metric!r} is pairwise: {why}."
            yield Problem(message=message, where=rule.where)


def _unknown_name_problem(
    noun: str, name: str, known: Sequence[str], where: Location, advice: str = ""
) -> Problem:
    if not advice:
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known) or 'none'}."
    return Problem(message=f"no case has the {noun} {name!r}. {advice}", where=where)


def find_agent_problems(
    evalset: EvalSet, cases: Sequence[Case], environment: RunEnvironment, found: Sequence[Problem]
) -> list[Problem]:
    """Return the problems of the agent that can be found without calling it."""
    if evalset.agent is not None:
        wrong = find_judge_variables(evalset.agent, evalset.judges)
        return [
            *(to_problem(evalset.agent, message) for message in wrong),
            *check_agent(evalset.agent, cases, environment),
        ]
    # If the agent could not be read, `found` already says so.
    if any(re.match("agent|.* belongs to the agent", each.message) for each in found):
        return []
    return [
        Problem(
            message=f"{evalset.path}: no agent. Add `agent:` here or in evalkit.yaml, "
            f"such as `agent: {{python: my_agent:answer}}`."
        )
    ]
