"""Decide whether a commit is good or bad: test it against GOOD and BAD with the gate's exact test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evalkit.bisect.search import Verdict
from evalkit.compare.pairs import compare_runs
from evalkit.core.errors import InvalidInput
from evalkit.core.eval_set import EvalSet, Rule
from evalkit.core.gate_result import CaseChange
from evalkit.core.run import MetricInfo, Run
from evalkit.gate.decide import decide_gate
from evalkit.report.bisect import CommitTest
from evalkit.runner.case_metrics import effective_metrics

DEFAULT_LIMIT = 0.02
"""The change that a metric without a threshold may make: 2 points, or 2 % of a measurement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BisectedMetric:
    """What says which version is worse: thresholds of the set, or a metric that has none."""

    metric: str
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRule:
    """The threshold by which versions are compared, and how many of their trials may have no score."""

    rule: Rule
    max_errors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version of the agent that was run: its name in sentences, its run, and its new calls."""

    name: str
    run: Run
    agent_calls: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """GOOD and BAD, which every commit between them is compared with."""

    good: Version
    bad: Version


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitDecision:
    """The verdict on a commit, why, and the tests that it rests on."""

    verdict: Verdict
    reason: str
    from_good: CommitTest | None = None
    to_bad: CommitTest | None = None


def choose_measure(evalset: EvalSet, metric: str | None) -> BisectedMetric:
    """Return what says which version is worse: the set's thresholds, those of one metric if it is named.

    Raises:
        InvalidInput: the set has no such metric, or no threshold, several metrics, and none is named.
    """
    rules = tuple(
        replace(rule, test="exact")
        for rule in evalset.gate
        if (rule.max_drop is not None or rule.max_rise is not None)
        and metric in (None, rule.metric)
    )
    names = list(
        dict.fromkeys(
            spec.name for case in evalset.cases for spec in effective_metrics(evalset, case)
        )
    )
    if rules:
        return BisectedMetric(metric=rules[0].metric, rules=rules)
    if metric is None and len(names) != 1:
        raise InvalidInput.single(
            f"{evalset.path}: no threshold compares with a baseline, so it is open what worse means. "
            f"Name a metric with --metric: {', '.join(names)}."
        )
    if metric is not None and metric not in names:
        raise InvalidInput.single(
            f"--metric {metric!r}: {evalset.path} has no such metric. It has {', '.join(names)}."
        )
    return BisectedMetric(metric=metric or names[0])


def choose_rule(measure: BisectedMetric, ends: Ends, max_errors: int) -> Rule:
    """Return the threshold that BAD fails compared with GOOD, or else the first one.

    Several thresholds share alpha as they do in the gate.
    """
    good, bad = ends.good.run, ends.bad.run
    if not measure.rules:
        return _build_rule(measure.metric, good.header.metrics)
    if len(measure.rules) == 1:
        return measure.rules[0]
    decided = decide_gate(measure.rules, bad, good, max_errors=max_errors, on_inconclusive="pass")
    failed = [
        (not rule.primary, check.p_value or 0.0, index)
        for index, (rule, check) in enumerate(zip(measure.rules, decided.checks, strict=True))
        if check.outcome == "fail" and not check.advisory
    ]
    return measure.rules[min(failed)[2] if failed else 0]


def _build_rule(metric: str, infos: Sequence[MetricInfo]) -> Rule:
    """Return a threshold for a metric that has none; the direction is known once the metric was opened."""
    info = next((each for each in infos if each.name == metric), None)
    if info is not None and not info.higher_is_better:
        return Rule(metric=metric, max_rise=DEFAULT_LIMIT)
    return Rule(metric=metric, max_drop=DEFAULT_LIMIT)


def measure_step(step_rule: StepRule, earlier: Version, later: Version, level: float) -> CommitTest:
    """Test at a level whether a later version is worse than an earlier one."""
    rule = step_rule.rule
    strict = replace(rule, alpha=level, primary=True)
    result = decide_gate(
        [strict], later.run, earlier.run, max_errors=step_rule.max_errors, on_inconclusive="pass"
    )
    [check] = result.checks
    problem = check.sentence if check.outcome == "undecided" else ""
    if result.outcome == "undecided":
        problem = result.reason
    info = next((each for each in later.run.header.metrics if each.name == rule.metric), None)
    return CommitTest(
        earlier=earlier.name,
        later=later.name,
        metric=rule.metric,
        unit=info.unit if info else "",
        is_worse=check.outcome == "fail" and not problem and not check.advisory,
        level=level,
        p_value=check.p_value,
        before=check.baseline,
        after=check.candidate,
        difference=check.difference,
        cases=check.cases,
        base_trials=check.base_trials,
        trials=check.trials,
        problem=problem or (check.advisory and f"{rule.metric}: {check.advisory}"),
    )


def decide_commit(step_rule: StepRule, commit: Version, ends: Ends, level: float) -> CommitDecision:
    """Decide a commit: bad if it is worse than GOOD, good if BAD is worse than it, else skipped.

    A commit like GOOD is called bad, and one like BAD good, with probability at most `level`.
    """
    if reason := explain_errors(commit.run, step_rule.max_errors):
        return CommitDecision(verdict="skipped", reason=reason)
    from_good = measure_step(step_rule, ends.good, commit, level)
    to_bad = measure_step(step_rule, commit, ends.bad, level)
    verdict: Verdict = "skipped"
    if from_good.problem or to_bad.problem:
        reason = from_good.problem or to_bad.problem
    elif from_good.is_worse:
        verdict = "bad"
        between = ", though better than BAD" if to_bad.is_worse else ""
        reason = f"worse than GOOD{between}"
    elif to_bad.is_worse:
        verdict, reason = "good", "BAD is worse"
    else:
        reason = "inconclusive: neither worse than GOOD nor better than BAD"
    return CommitDecision(verdict=verdict, reason=reason, from_good=from_good, to_bad=to_bad)


def explain_errors(run: Run, max_errors: int) -> str:
    """Return why a run with too many trials without a score decides nothing; empty if it may."""
    failed = [trial for trial in run.trials if trial.state not in ("scored", "skipped")]
    if len(failed) <= max_errors:
        return ""
    errors = [trial.output.error for trial in failed if trial.output.error is not None]
    explained = [
        score.explanation for trial in failed for score in trial.scores if score.state != "scored"
    ]
    first = errors[0].message if errors else next(iter(explained), "no score")
    return f"{len(failed):,} of {len(run.trials):,} trials ended without a score: {first}"


def list_broken(good: Run, found: Run) -> tuple[CaseChange, ...]:
    """Return the cases that got worse between two runs."""
    cases = compare_runs(good, found).cases
    return tuple(change for change in cases if change.status == "regressed")
