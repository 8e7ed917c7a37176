"""Count the calls that a run makes if all goes well, and the most that it can make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from evalkit.agents.conversation import find_agent_turns
from evalkit.core.eval_set import Case
from evalkit.core.run import Run
from evalkit.gate.broken_cases import FRESH_TRIALS
from evalkit.runner.looks import count_planned_looks
from evalkit.runner.records import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeCallBound:
    """The calls of one judge: `expected` of a judge that is never asked twice, and `at_most`.

    A judge after the first one is asked only if those before it are down, and then about everything.
    """

    judge: str
    expected: int
    at_most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CallBound:
    """The calls of a run without a cached answer or vote, and without retries after failures.

    `most_trials` is per case, without the `fresh_trials` of a case that newly fails.
    """

    agent_expected: int
    agent_at_most: int
    judges: tuple[JudgeCallBound, ...]
    most_trials: int
    fresh_trials: int


def bound_calls(plan: Plan, baseline: Run | None) -> CallBound:
    """Return how many calls a run of the plan makes at most, compared with a baseline."""
    first = plan.settings.first_trials
    most = count_planned_looks(plan, baseline) or first
    repeats = baseline is not None and any(rule.broken_cases is not None for rule in plan.gate)
    fresh = FRESH_TRIALS if repeats else 0
    return CallBound(
        agent_expected=first * sum(len(find_agent_turns(case)) for case in plan.cases),
        agent_at_most=(most + fresh) * sum(len(find_agent_turns(case)) for case in plan.cases),
        judges=_bound_judge_calls(plan, baseline, first, most + fresh),
        most_trials=most,
        fresh_trials=fresh,
    )


def _bound_judge_calls(
    plan: Plan, baseline: Run | None, first: int, most: int
) -> tuple[JudgeCallBound, ...]:
    judged = {case.id: _find_judged_metrics(plan, case) for case in plan.cases}
    answers = sum(map(len, judged.values()))
    if not answers:
        return ()
    stored = _count_stored_answers(plan, baseline, judged)
    # What the baseline's verdicts were given by, its first judge may have to give again.
    stale = _count_stored_answers(plan, baseline, _keep_redefined(plan, baseline, judged))
    counts = Counter(metric for metrics in judged.values() for metric in metrics)
    found = []
    for position, judge in enumerate(plan.panel.judges):
        if judge.is_local:
            continue
        again = stored if position else stale
        controls, most_controls = (
            plan.panel.bound_controls(
                {metric: trials * count * judge.votes for metric, count in counts.items()}
            )
            for trials in (first, most)
        )
        most_votes = (most * answers + again) * judge.votes + most_controls.at_most
        found.append(
            JudgeCallBound(
                judge=judge.name,
                expected=(first * answers + again) * judge.votes + controls.expected,
                at_most=judge.bound_calls(most_votes),
            )
        )
    return tuple(found)


def _find_judged_metrics(plan: Plan, case: Case) -> frozenset[str]:
    infos = (scorer.info for scorer in plan.scorers[case.id])
    return frozenset(info.name for info in infos if info.judge)


def _keep_redefined(
    plan: Plan, baseline: Run | None, judged: Mapping[str, frozenset[str]]
) -> Mapping[str, frozenset[str]]:
    """Return the judged metrics of each case whose definition or judge is not that of the baseline."""
    before = {info.name: info.definition for info in baseline.header.metrics} if baseline else {}
    now = {info.name: info.definition for info in plan.metrics}
    stale = {name for name, definition in now.items() if before.get(name) != definition}
    return {case_id: names & stale for case_id, names in judged.items()}


def _count_stored_answers(
    plan: Plan, baseline: Run | None, judged: Mapping[str, frozenset[str]]
) -> int:
    """Return how many verdicts on the baseline's answers the metrics `judged` take, by case id."""
    if baseline is None or plan.selection.shard:
        return 0
    stored = {case.id: case.digest for case in baseline.header.cases}
    unchanged = {case.id for case in plan.cases if stored.get(case.id) == case.digest}
    return sum(
        len(judged[trial.case_id])
        for trial in (*baseline.trials, *baseline.fresh)
        if trial.case_id in unchanged and trial.output.error is None
    )
