"""Choose the cases that a run with looks runs again, and describe the choice for the exact test.

After the first look, a case is left alone if it never passed, neither in the baseline nor in its first
trial: it says nothing about a drop. The choice depends only on all passes of a case so far, so the exact
test stays exact: it leaves out the orders of trials in which the case would not have been run again.

A case that never passed in the baseline and passes now is run again, but only because it passed. Its
further trials are evidence for the exact test, and would bias every mean, so only its first trial counts
there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evalkit.compare.paired_scores import CaseRerun, PairedScores
from evalkit.compare.pairs import find_shared_cases
from evalkit.compare.scores import ScoreTable
from evalkit.core.eval_set import Case, Rule
from evalkit.core.run import RunHeader
from evalkit.core.trial import Trial
from evalkit.stats.group_sequential import list_looks


def is_sequential(rule: Rule, baseline: ScoreTable) -> bool:
    """Return whether a rule tests if a 0/1 metric got worse, which more trials can decide.

    Rules weighed by traffic use only the first trial of a run with looks.
    """
    if rule.estimand == "traffic":
        return False
    is_binary = rule.stat == "mean" and _is_binary(baseline, rule.metric)
    return rule.is_tested and (rule.stat == "rate" or is_binary)


def _is_binary(table: ScoreTable, metric: str) -> bool:
    info = table.infos.get(metric)
    rows = table.scores.get(metric, {}).values()
    return (
        info is not None
        and not info.unit
        and not info.is_pairwise
        and all(value in (0.0, 1.0) for row in rows for value in row.values)
    )


def plan_next_look(candidate: ScoreTable, base: ScoreTable) -> RunHeader | None:
    """Return the header of the next look; None if there is none, or no case would be run again."""
    header = candidate.header
    following = [trials for trials in list_looks(header.looks) if trials > header.trials]
    if not following:
        return None
    counted, again = dict(header.counted), set(header.extra)
    if header.trials == 1:
        rules = [rule for rule in header.gate if is_sequential(rule, base)]
        for case in find_shared_cases(base, candidate):
            marks = _count_marks(rules, case, base.trials[case.id])
            first = candidate.trials[case.id][0]
            if marks or first is None or first.state != "scored":
                continue
            counted[case.id] = 1
            if _is_marked(rules, case, first):
                again.add(case.id)
    if len(counted) == len(header.cases) and not again:
        return None
    extra = dict.fromkeys(sorted(again), following[0] - 1)
    return replace(header, trials=following[0], counted=counted, extra=extra)


def attach_reruns(
    pairs: PairedScores, rule: Rule, base: ScoreTable, candidate: ScoreTable
) -> PairedScores:
    """Return the pairs with the trials that only the exact test uses, and the choice behind them."""
    header = candidate.header
    if not header.counted:
        return pairs
    rules = [each for each in header.gate if is_sequential(each, base)]
    return replace(
        pairs,
        reruns=tuple(_describe_rerun(rule, rules, case, base, candidate) for case in pairs.cases),
    )


def _describe_rerun(
    rule: Rule, rules: Sequence[Rule], case: Case, base: ScoreTable, candidate: ScoreTable
) -> CaseRerun:
    before, now = base.trials[case.id], candidate.trials[case.id]
    more = candidate.extra.get(case.id, ())
    # Another baseline than that of the run did not take part in the choice, nor did an unscored first trial.
    is_chosen = (case.id in candidate.header.counted) != _has_mark(rules, case, before)
    if not is_chosen or now[0] is None or now[0].state != "scored":
        return CaseRerun()
    marked = [
        trial
        for trial in (*before, *now, *more)
        if trial is not None and _is_marked(rules, case, trial)
    ]
    values = [_value(rule, trial) for trial in marked]
    found = [_value(rule, trial) for trial in more if trial is not None]
    return CaseRerun(
        extra=tuple(value for value in found if value is not None),
        # A marked trial without a value explains the choice by itself, whatever the order of the others.
        marked=0 if None in values else len(marked),
        marked_passed=0 if None in values else sum(value == 1.0 for value in values),
    )


def is_silent(rules: Sequence[Rule], case: Case, base: ScoreTable) -> bool:
    """Return whether no baseline trial of a case is good by any of the rules that may take looks."""
    return not _has_mark(rules, case, base.trials[case.id])


def _count_marks(rules: Sequence[Rule], case: Case, trials: Iterable[Trial | None]) -> int:
    return sum(trial is not None and _is_marked(rules, case, trial) for trial in trials)


def _has_mark(rules: Sequence[Rule], case: Case, trials: Iterable[Trial | None]) -> bool:
    return _count_marks(rules, case, trials) > 0


def _is_marked(rules: Sequence[Rule], case: Case, trial: Trial) -> bool:
    """Return whether a trial is good by any of the rules that may take looks."""
    return any(
        _value(rule, trial) == (1.0 if rule.max_drop is not None else 0.0)
        for rule in rules
        if rule.tag is None or rule.tag in case.tags
    )


def _value(rule: Rule, trial: Trial) -> float | None:
    """Return the value of a rule's metric, or its pass as 1 or 0; None if there is none."""
    if trial.output.error is not None:
        return None
    for score in trial.scores:
        if score.metric == rule.metric and score.is_usable:
            flag = None if score.passed is None else float(score.passed)
            return flag if rule.stat == "rate" else score.value
    return None
