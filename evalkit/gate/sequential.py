"""Decide whether a run takes another look: more trials while the gate is inconclusive.

A run has up to four looks, after 1, 2, 3, and 5 trials. The first look that fails or passes ends the run,
and one trial decides most changes. Four looks at the full alpha would fail unchanged agents too often, so
every look has a part of alpha (group sequential testing, Pocock 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evalkit.compare.scores import build_score_table
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateResult
from evalkit.core.run import Run, RunHeader
from evalkit.gate.evidence import Evidence
from evalkit.gate.reruns import is_sequential
from evalkit.stats.exchange_test import net_alpha_factor
from evalkit.stats.group_sequential import (
    LOOK_TRIALS,
    alpha_at_look,
    estimate_procedure,
    whole_alpha,
)

MAX_LOOK_TRIALS = LOOK_TRIALS[-1]

MIN_BASE_TRIALS_FOR_LOOKS = 3
"""With fewer, the noise of the baseline dominates every look."""


def adjust_rule_for_look(rule: Rule, looks: int, trials: int) -> Rule:
    """Return a rule with the alpha of the look after so many trials; unchanged if `looks` is 0.

    Absolute limits keep their alpha. Their intervals are for other cases like these, so more trials of
    the same cases hardly add to the chance of an error.
    """
    if not looks or (rule.max_drop is None and rule.max_rise is None):
        return rule
    return replace(rule, alpha=alpha_at_look(rule.alpha, trials))


def apply_procedure_odds(
    rule: Rule, evidence: Evidence, header: RunHeader, sharing: int
) -> Evidence:
    """Return the evidence with the false alarms and the power of the whole run with looks.

    Without them, both would be those of the last look alone. `rule` has the alpha of the look, which
    `sharing` thresholds share.
    """
    if not header.looks or evidence.design is None or evidence.design.mean <= 0:
        return evidence
    alone = len(header.counted) - len(header.extra)
    design = replace(
        evidence.design,
        trials=header.looks,
        looks=header.looks,
        silent=min(alone / len(header.cases), 1.0),
    )
    whole = whole_alpha(rule.alpha, header.trials)
    limits = replace(evidence.limits, alpha=whole / sharing)
    odds = estimate_procedure(design, limits, net_alpha_factor(np.array([design.base_trials])))
    return replace(
        evidence,
        false_alarm=min(odds.false_alarm, whole),
        detectable_harm=odds.detectable_harm,
        looks=header.looks,
        whole_alpha=whole,
    )


def find_most_trials(rules: Sequence[Rule], baseline: Run | None) -> int:
    """Return how many trials per case a run with looks may take; 0 if more would decide nothing."""
    if baseline is None or baseline.header.trials < MIN_BASE_TRIALS_FOR_LOOKS:
        return 0
    table = build_score_table(baseline)
    return MAX_LOOK_TRIALS if any(is_sequential(rule, table) for rule in rules) else 0


def needs_another_look(result: GateResult, baseline: Run) -> bool:
    """Return whether more trials may decide a rule on a 0/1 metric.

    If such a rule failed, more trials would not change the result.
    """
    table = build_score_table(baseline)
    outcomes = {
        check.outcome
        for check in result.checks
        if not check.advisory and is_sequential(check.rule, table)
    }
    return "fail" not in outcomes and "inconclusive" in outcomes


def looks_note(
    run: Run, result: GateResult, baseline: Run | None, *, lacks_budget: bool = False
) -> str:
    """Return why a run took its number of looks; empty if the number was fixed or the run is incomplete.

    With `lacks_budget`, a further look would have cost more than the budget has left.
    """
    header = run.header
    if not header.looks or not run.finished or result.tally.counts["not_run"]:
        return ""
    taken = f"{header.trials} of up to {format_count(header.looks, 'trial')} per case"
    alone = len(header.counted) - len(header.extra)
    left = f" {format_count(alone, 'case')} that never passed took one trial." if alone else ""
    if header.trials == header.looks:
        return f"Took {taken}, because earlier looks were inconclusive.{left}"
    if result.outcome == "undecided":
        return f"Stopped after {taken}, because more would not lead to a decision.{left}"
    if lacks_budget:
        return f"Stopped after {taken}, because the budget does not buy the next look.{left}"
    if result.outcome == "inconclusive":
        if baseline is not None and needs_another_look(result, baseline):
            return (
                f"Stopped after {taken}: no case ever passed, so more trials would decide nothing."
            )
        return (
            f"Stopped after {taken}, because more trials decide only pass rates that are compared with the "
            f"baseline, and none of these is inconclusive.{left}"
        )
    saved = header.looks * len(header.cases) - sum(header.planned_trials().values())
    return f"Decided after {taken}: {format_count(saved, 'agent run')} saved.{left}"
