"""Decide whether a run takes another look: one more trial of every case, until the gate is decided.

One trial of every case is run and decided, then a second, then a third, and the first look that fails
or passes ends the run: most changes are decided by one trial. Three looks at the usual alpha would fail
unchanged agents too often, so every look gets less of it (group sequential testing, Pocock 1977).
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
"""With fewer, the weights of the exact test mislead, and the baseline's own noise blurs every look."""


def adjust_rule_for_look(rule: Rule, looks: int, look: int) -> Rule:
    """Return a rule as it is applied at one look of a run; unchanged when `looks` is 0.

    Absolute limits keep their alpha: their intervals are about other cases like these, and further
    trials of the same cases add little chance of an error to them.
    """
    if not looks or not _compares(rule):
        return rule
    return replace(rule, alpha=alpha_at_look(rule.alpha, look))


def count_looks(rules: Sequence[Rule], baseline: Run | None) -> int:
    """Return how many looks a run may take; 0 when further trials would settle nothing."""
    if baseline is None or baseline.header.trials < MIN_BASE_TRIALS_FOR_LOOKS:
        return 0
    table = build_score_table(baseline)
    return MAX_LOOKS if any(_is_sequential(rule, table) for rule in rules) else 0


def needs_another_look(result: GateResult, baseline: Run) -> bool:
    """Return whether a further trial of every case may settle a rule on a 0/1 metric.

    A rule that failed settles the gate.
    """
    table = build_score_table(baseline)
    outcomes = {
        check.outcome
        for check in result.checks
        if not check.advisory and _is_sequential(check.rule, table)
    }
    # More trials of a settled gate would only cost money.
    return "fail" not in outcomes and "inconclusive" in outcomes


def looks_note(run: Run, result: GateResult) -> str:
    """Return why a run took as many looks as it did; empty when that was fixed or it is incomplete."""
    header = run.header
    if not header.looks or result.tally.counts["not_run"]:
        return ""
    taken = f"{header.trials} of {format_count(header.looks, 'trial')} of every case"
    # Every look runs one more trial of all cases.
    saved = (header.looks - header.trials) * len(header.cases)
    if not saved:
        return f"Took {taken}, as those before left the gate undecided."
    if result.outcome == "undecided":
        return f"Stopped after {taken}, because more would not lead to a decision."
    return f"Decided after {taken}: {format_count(saved, 'agent run')} saved."


def _compares(rule: Rule) -> bool:
    return rule.max_drop is not None or rule.max_rise is not None


def _is_sequential(rule: Rule, baseline: ScoreTable) -> bool:
    """Return whether a rule asks if a 0/1 metric got worse, which further trials can settle."""
    if not _compares(rule) or rule.test == "point":
        return False
    return rule.stat == "rate" or (rule.stat == "mean" and _is_binary(baseline, rule.metric))


def _is_binary(table: ScoreTable, metric: str) -> bool:
    info = table.infos.get(metric)
    rows = table.scores.get(metric, {}).values()
    return (
        info is not None
        and not info.unit
        and all(value in (0.0, 1.0) for row in rows for value in row.values)
    )
