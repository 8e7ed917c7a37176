"""Decide whether a run takes another look: one more trial of every case while the gate is inconclusive.

A run has up to three looks, one after each trial of every case. The first look that fails or passes ends
the run, and one trial decides most changes. Three looks at the full alpha would fail unchanged agents too
often, so every look has a part of alpha (group sequential testing, Pocock 1977).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalkit.compare.scores import ScoreTable, build_score_table
from evalkit.core.eval_set import Rule
from evalkit.core.format import format_count
from evalkit.core.gate_result import GateResult
from evalkit.core.run import Run
from evalkit.stats.group_sequential import alpha_at_look

MAX_LOOKS = 3

MIN_BASE_TRIALS_FOR_LOOKS = 3
"""With fewer, the weights of the exact test mislead, and the noise of the baseline dominates every look."""


def adjust_rule_for_look(rule: Rule, looks: int, look: int) -> Rule:
    """Return a rule with the alpha of one look of a run; unchanged if `looks` is 0.

    Absolute limits keep their alpha. Their intervals are for other cases like these, so more trials of
    the same cases hardly add to the chance of an error.
    """
    if not looks or (rule.max_drop is None and rule.max_rise is None):
        return rule
    return replace(rule, alpha=alpha_at_look(rule.alpha, look))


def count_looks(rules: Sequence[Rule], baseline: Run | None) -> int:
    """Return how many looks a run may take; 0 if more trials would decide nothing."""
    if baseline is None or baseline.header.trials < MIN_BASE_TRIALS_FOR_LOOKS:
        return 0
    table = build_score_table(baseline)
    return MAX_LOOKS if any(_is_sequential(rule, table) for rule in rules) else 0


def needs_another_look(result: GateResult, baseline: Run) -> bool:
    """Return whether one more trial of every case may decide a rule on a 0/1 metric.

    If such a rule failed, more trials would not change the result.
    """
    table = build_score_table(baseline)
    outcomes = {
        check.outcome
        for check in result.checks
        if not check.advisory and _is_sequential(check.rule, table)
    }
    return "fail" not in outcomes and "inconclusive" in outcomes


def looks_note(run: Run, result: GateResult) -> str:
    """Return why a run took its number of looks; empty if the number was fixed or the run is incomplete."""
    header = run.header
    if not header.looks or result.tally.counts["not_run"]:
        return ""
    taken = f"{header.trials} of {format_count(header.looks, 'trial')} of every case"
    # Every look runs one more trial of all cases.
    saved = (header.looks - header.trials) * len(header.cases)
    if not saved:
        return f"Took {taken}, because earlier looks were inconclusive."
    if result.outcome == "undecided":
        return f"Stopped after {taken}, because more would not lead to a decision."
    return f"Decided after {taken}: {format_count(saved, 'agent run')} saved."


def _is_sequential(rule: Rule, baseline: ScoreTable) -> bool:
    """Return whether a rule tests if a 0/1 metric got worse, which more trials can decide."""
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
